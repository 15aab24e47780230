"""One checkpoint or several: what is loaded, what the mean is calibrated on, and what is refused."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize_scalar
from small_runs import make_run

from gender_lightning.errors import UserError
from gender_lightning.evaluation.selective import choose_abstention
from gender_lightning.inference.checkpoints import CheckpointSet
from gender_lightning.inference.predictor import UNCERTAIN, load


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("several runs, [odd]")
    shuffled = [f"{row:03d}.jpg" for row in np.random.default_rng(3).permutation(400)]
    return [make_run(root / "a, b", 1), make_run(root / "c=d", 2, shuffled)]


def test_temperature_of_the_mean_has_the_least_loss_on_valid(runs: list[Path]) -> None:
    tables = [pd.read_parquet(run / "predictions" / "valid.parquet").sort_values("image_id") for run in runs]
    mean = np.mean([table["logit"].to_numpy(float) / t for table, t in zip(tables, (1.5, 2.5), strict=True)], axis=0)
    signs = 2 * tables[0]["label"].to_numpy() - 1.0
    best = minimize_scalar(lambda t: np.logaddexp(0, -signs * mean / t).mean(), bounds=(0.05, 20), method="bounded")
    network = CheckpointSet.of(runs).network()
    assert network.spec.temperature == pytest.approx(best.x, rel=1e-3) and network.spec.threshold == 0.5
    valid = CheckpointSet.of(runs).valid_predictions()
    assert valid is not None and np.allclose(valid["logit"], mean)
    labels, persons = tables[0]["label"].to_numpy(), tables[0]["identity"].to_numpy()
    chosen = choose_abstention(labels, mean, network.spec.temperature, 0.85, clusters=persons).min_confidence
    assert chosen is not None and 0.5 < chosen < 1
    assert load(runs, device="cpu", target_accuracy=0.85).min_confidence == pytest.approx(chosen)


def test_a_threshold_is_chosen_by_the_rule_of_the_members(tmp_path: Path) -> None:
    balanced = [make_run(tmp_path / str(seed), seed, threshold_rule="balanced", threshold=0.4) for seed in (1, 2)]
    spec = CheckpointSet.of(balanced).network().spec
    table = CheckpointSet.of(balanced).valid_predictions()
    assert table is not None
    probability = 1 / (1 + np.exp(-table["logit"] / spec.temperature))

    def accuracy(threshold: float) -> float:
        right = (probability >= threshold) == (table["label"] == 1)
        return float(right.groupby(table["label"]).mean().mean())

    assert spec.threshold_rule == "balanced"
    assert accuracy(spec.threshold) == max(accuracy(value) for value in [0.0, *probability])


@pytest.mark.parametrize("cause", ["missing", "other images", "other labels"])
def test_without_common_valid_images_the_mean_stays_uncalibrated_and_says_so(
    runs: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture, cause: str
) -> None:
    other = make_run(tmp_path / "other", 2, [f"{row:03d}.jpg" for row in range(cause == "other images", 400)])
    file = other / "predictions" / "valid.parquet"
    if cause == "missing":
        file.unlink()
    elif cause == "other labels":
        pd.read_parquet(file).assign(label=0).to_parquet(file)
    predictor = load([runs[0], other], device="cpu")
    assert (predictor.spec.temperature, predictor.spec.threshold, predictor.min_confidence) == (1, 0.5, 0)
    assert caplog.text.count("its temperature is 1, its threshold 0.5") == 1
    with pytest.raises(UserError, match="target_accuracy"):
        load([runs[0], other], device="cpu", target_accuracy=0.9)


def test_a_list_of_one_is_that_checkpoint(runs: list[Path]) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (109, 89, 3), dtype=np.uint8)
    one, listed = load(runs[0], device="cpu"), load([runs[0]], device="cpu")
    assert listed.spec == one.spec and listed.min_confidence == one.min_confidence
    assert listed.predict(picture) == one.predict(picture) and one.predict(picture).disagreement is None
    assert CheckpointSet.of([runs[0]]).digest() == CheckpointSet.of(runs[0]).digest()


def test_disagreement_withholds_labels_and_predictors_travel(runs: list[Path]) -> None:
    pictures = list(np.random.default_rng(1).integers(0, 256, (8, 109, 89, 3), dtype=np.uint8))
    told = load(runs, device="cpu", min_confidence=0).predict(pictures)
    limit = float(np.median([one.disagreement for one in told]))
    strict = load(runs, device="cpu", min_confidence=0, max_disagreement=limit)
    answers = pickle.loads(pickle.dumps(strict)).predict(pictures)
    assert [one.label == UNCERTAIN for one in answers] == [one.disagreement > limit for one in told]
    assert 0 < sum(one.label == UNCERTAIN for one in answers) < 8


def test_fingerprints_tell_means_apart(runs: list[Path], tmp_path: Path) -> None:
    third = make_run(tmp_path / "third", 4)
    several = [runs, [runs[0], third], [*runs, third], runs[:1], runs[1:]]
    assert len({CheckpointSet.of(paths).digest() for paths in several}) == len(several)
    assert CheckpointSet.of(runs).digest() == CheckpointSet.of(runs[::-1]).digest(), "the mean has no order"


def test_what_cannot_be_used_is_said_in_a_sentence(runs: list[Path], tmp_path: Path) -> None:
    other = make_run(tmp_path / "other", 2, class_names=("no", "yes"))
    os.symlink(runs[0], tmp_path / "link")
    for given, said in (
        ([*runs, tmp_path / "link"], "is named twice"),
        ([runs[0], runs[0] / "checkpoints" / "best.ckpt"], "is named twice"),
        ([runs[0], tmp_path / "gone"], "gone does not exist"),
        ([runs[0], other], "tells no and yes apart"),
        ([], "No checkpoint is given"),
    ):
        with pytest.raises(UserError, match=said):
            load(given, device="cpu")
    for limit, said in ((0.1, "there is only one"), (-1.0, "is negative")):
        with pytest.raises(UserError, match=said):
            load(runs[0], device="cpu", max_disagreement=limit)
