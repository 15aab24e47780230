"""From which confidence on labels are given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from gender_lightning.data.framing import Framing
from gender_lightning.errors import UserError
from gender_lightning.evaluation.knee import find_knee
from gender_lightning.evaluation.selective import choose_abstention
from gender_lightning.inference.abstention import (
    OnValid,
    closing_text,
    coverage_text,
    is_far_below,
    least_confidence,
    on_valid,
)
from gender_lightning.inference.domain import FaceTotals
from gender_lightning.inference.predictor import UNCERTAIN, label_of, load
from gender_lightning.models.backbones import create_backbone
from gender_lightning.models.checkpoints.checkpoint import Answer, ModelSpec, save_weights

SPEC = ModelSpec("timm/test_resnet", Framing(32), temperature=2.0, threshold=0.4)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory whose valid split knows how often a confidence is right."""
    root = tmp_path_factory.mktemp("run")
    torch.manual_seed(1)
    (root / "checkpoints").mkdir()
    save_weights(
        root / "checkpoints" / "best.ckpt", create_backbone("timm/test_resnet", image_size=32).state_dict(), SPEC
    )
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 8, 4000)
    labels = rng.random(4000) < 1 / (1 + np.exp(-logits / 2))
    (root / "predictions").mkdir()
    pd.DataFrame({"label": labels.astype(np.int8), "logit": logits.astype(np.float32)}).to_parquet(
        root / "predictions" / "valid.parquet"
    )
    return root


@pytest.mark.parametrize("place", [".", "checkpoints/best.ckpt", "checkpoints/last.ckpt"])
def test_a_target_is_met_as_evaluate_says(run: Path, place: str) -> None:
    table = pd.read_parquet(run / "predictions" / "valid.parquet")
    for target in (0.95, 0.98):
        chosen = choose_abstention(table["label"], table["logit"], 2.0, target, threshold=0.4).min_confidence
        assert least_confidence(run / place, SPEC, target_accuracy=target) == chosen
    default = choose_abstention(table["label"], table["logit"], 2.0, 0.99, threshold=0.4).min_confidence
    assert default is not None and 0.5 < default < 1
    assert least_confidence(run / place, SPEC) == load(run, device="cpu").min_confidence == default
    assert least_confidence(run / place, SPEC, 0.7) == 0.7 and least_confidence(run / place, SPEC, 0) == 0


def test_the_label_is_held_back_below_it() -> None:
    said = [label_of(Answer(value), SPEC, 0.7) for value in (0.1, 0.31, 0.39, 0.41, 0.69, 0.71)]
    assert said == ["female", UNCERTAIN, UNCERTAIN, UNCERTAIN, UNCERTAIN, "male"]
    assert [label_of(Answer(value), SPEC, 0.0) for value in (0.39, 0.41)] == ["female", "male"]


def test_what_cannot_be_promised_is_said(run: Path, tmp_path: Path) -> None:
    alone = tmp_path / "best.ckpt"
    assert least_confidence(alone, SPEC) == 0
    with pytest.raises(UserError, match="is not inside a run directory"):
        least_confidence(alone, SPEC, target_accuracy=0.9)
    with pytest.raises(UserError, match="cannot be guaranteed"):
        least_confidence(run, SPEC, target_accuracy=0.99999)
    with pytest.raises(UserError, match="exclude each other"):
        least_confidence(run, SPEC, 0.5, 0.5)
    for wrong in ({"min_confidence": 1.1}, {"target_accuracy": 1.0}, {"target_accuracy": 0.0}):
        with pytest.raises(UserError, match="Give a number"):
            least_confidence(run, SPEC, **wrong)
    (tmp_path / "predictions").mkdir()
    (tmp_path / "predictions" / "valid.parquet").write_text("broken")
    with pytest.raises(UserError, match="not a table of predictions"):
        least_confidence(tmp_path, SPEC)
    pd.DataFrame({"label": [1, 0], "logit": [3.0, -3.0]}).to_parquet(tmp_path / "predictions" / "valid.parquet")
    assert least_confidence(tmp_path, SPEC) == 0  # too few to promise anything


def test_what_is_decided_is_told_beside_valid(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoints" / "best.ckpt"
    spec = ModelSpec("resnet18", Framing(32), temperature=2.0, threshold=0.6)
    assert on_valid(checkpoint, spec, 0.9) is None
    (tmp_path / "predictions").mkdir()
    probability = np.array([0.99, 0.95, 0.85, 0.65, 0.55, 0.05, 0.02, 0.2])
    logit = 2 * np.log(probability / (1 - probability))
    pd.DataFrame({"label": 1, "logit": logit}).to_parquet(tmp_path / "predictions" / "valid.parquet")
    assert on_valid(checkpoint, spec, 0.9) == OnValid(4 / 8, 2 / 4)
    assert coverage_text(54, 100, None) == "54% of the faces were given a label, the others are uncertain."
    assert coverage_text(54, 100, OnValid(0.6, 0.991)) == (
        "54% of the faces were given a label; "
        "on the run's valid split it was 60%, and 99.1% of those labels were right."
    )
    assert coverage_text(54, 100, OnValid(0.9, float("nan"))).endswith("on the run's valid split it was 90%.")
    assert is_far_below(54, 100, OnValid(0.9, 0.99)) and not is_far_below(54, 100, OnValid(0.6, 0.99))
    assert not is_far_below(2, 4, OnValid(0.8, 0.9))  # so few tell nothing
    seen = FaceTotals()
    seen.take(54, 100)
    assert "differ from those of the training" in closing_text(seen, 0.9, OnValid(0.9, 0.99), None)


def test_the_knee_is_that_of_valid(run: Path) -> None:
    table = pd.read_parquet(run / "predictions" / "valid.parquet")
    knee = find_knee(table["label"], table["logit"], 2.0, clusters=np.arange(len(table)), threshold=0.4)
    assert 0.5 < knee.min_confidence < 1 and knee.risk < knee.risk_of_all / 2
    assert least_confidence(run, SPEC, "auto") == knee.min_confidence
    assert load(run, device="cpu", min_confidence="auto").min_confidence == knee.min_confidence
