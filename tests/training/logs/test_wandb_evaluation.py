"""An evaluation goes on with the W&B run of the training, offline, and never fails because of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from wandb_helpers import isolate, make_run, records

from gender_lightning.evaluation.evaluating import Subject, evaluate_table
from gender_lightning.evaluation.results import Evaluation
from gender_lightning.runs import Run
from gender_lightning.training.logs.wandb_evaluation import log_evaluation

LOGGER = {
    "name": "wandb", "project": "p", "entity": None, "mode": "offline", "group": None, "tags": [], "log_model": False,
}  # fmt: skip


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Evaluation, pd.DataFrame]:
    isolate(monkeypatch, tmp_path / "home")
    generator = np.random.default_rng(1)
    labels = np.arange(60) % 2
    columns = {
        "image_id": [f"{i}.jpg" for i in range(60)],
        "label": labels,
        "logit": generator.normal(3 * labels - 1.5, 1.5),
        "identity": pd.array(np.arange(60) // 2, dtype="Int32"),
        "Eyeglasses": generator.random(60) < 0.4,
    }
    table = pd.DataFrame(columns)
    subject = Subject("x", "r", "celeba", "test", True, {}, 1.0, 0.5)
    return evaluate_table(subject, table, None, resamples=100), table


def finished(path: Path, **info: Any) -> Run:
    run = make_run(path, logger=LOGGER)
    run.update(**{"status": "done", "wandb_id": "abcd1234", **info})
    return run


def test_numbers_and_slices_go_into_the_same_run(made: tuple[Evaluation, pd.DataFrame], tmp_path: Path) -> None:
    evaluation, table = made
    run = finished(tmp_path / "run")
    log_evaluation(run, evaluation, table, tmp_path)
    assert [path.name.rpartition("-")[2] for path in (run.path / "wandb").glob("offline-run-*")] == ["abcd1234"]
    text = str(records(run))
    assert "evaluation/celeba-test/accuracy" in text and "evaluation/celeba-test/slices" in text
    assert str(evaluation.metrics["accuracy"].value)[:8] in text
    assert "evaluation/celeba-test/fairness" in text and "evaluation/celeba-test/recall_gap" in text


@pytest.mark.parametrize("info", [{"wandb_id": None}, {"status": "running"}])
def test_a_run_without_wandb_or_still_training_is_left_alone(
    made: tuple[Evaluation, pd.DataFrame], tmp_path: Path, info: dict[str, Any]
) -> None:
    run = finished(tmp_path / "run", **info)
    log_evaluation(run, *made, tmp_path)
    assert not (run.path / "wandb").exists()


def test_a_broken_wandb_is_a_warning(
    made: tuple[Evaluation, pd.DataFrame],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(**arguments: Any) -> None:
        raise OSError("no space")

    monkeypatch.setattr("wandb.init", broken)
    with caplog.at_level("WARNING"):
        log_evaluation(finished(tmp_path / "run"), *made, tmp_path)
    assert "no space" in caplog.text
