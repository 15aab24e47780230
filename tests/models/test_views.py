"""Several views of a face by one network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_runs import make_run

from gender_lightning.inference.checkpoints import CheckpointSet
from gender_lightning.inference.faces.crops import Cropper
from gender_lightning.inference.predictor import Predictor, load
from gender_lightning.models.checkpoints.checkpoint import Network
from gender_lightning.models.views import ZOOMS


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("runs")
    return [make_run(root / str(seed), seed) for seed in (1, 2)]


def test_the_mean_over_the_zooms(runs: list[Path]) -> None:
    faces = np.random.default_rng(5).integers(0, 256, (6, 90, 80, 3), dtype=np.uint8)
    network = CheckpointSet.of(runs[0]).network()
    logits = []
    for zoom in ZOOMS:
        framing = replace(network.spec.framing, zoom=zoom)
        view = Predictor(Network(network.net, replace(network.spec, framing=framing)), Cropper(framing, "none"))
        probability = np.array([one.probability for one in view.predict(list(faces))], dtype=np.float64)
        logits.append(np.log(probability / (1 - probability)))
    several = CheckpointSet.of(runs[0], "tta").network()
    found = Predictor(several, Cropper(several.spec.framing, "none")).predict(list(faces))
    assert np.ptp(logits, axis=0).max() > 1e-4, "the views differ"
    expected = 1 / (1 + np.exp(-np.mean(logits, axis=0)))
    assert [one.probability for one in found] == pytest.approx(expected.tolist(), abs=1e-5)
    p = 1 / (1 + np.exp(-np.array(logits)))
    entropy = [-x * np.log(x) - (1 - x) * np.log(1 - x) for x in (p.mean(0), p)]
    assert [one.disagreement for one in found] == pytest.approx((entropy[0] - entropy[1].mean(0)).tolist(), abs=1e-6)


def test_what_is_chosen_on_valid_is_that_of_the_network(runs: list[Path]) -> None:
    for given in (runs[0], runs):
        plain, views = load(given, "cpu", faces="none"), load(given, "cpu", faces="tta", max_disagreement=0.1)
        assert views.min_confidence == plain.min_confidence
        assert (views.spec.temperature, views.spec.threshold) == (plain.spec.temperature, plain.spec.threshold)
        assert views.domain is None
