"""A metric is one entry of the list, and is found in everything that reports metrics."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from gender_lightning.commands.steps.evaluation_report import evaluation_table
from gender_lightning.commands.steps.reporting import metrics_table
from gender_lightning.comparison.columns import UNKNOWN, _metric_column
from gender_lightning.comparison.scores import resampling_of, scores_of
from gender_lightning.evaluation import metric_list
from gender_lightning.evaluation.evaluating import Subject, evaluate_table
from gender_lightning.evaluation.metric_list import METRICS, Floats, Metric, metrics_of
from gender_lightning.evaluation.metrics import classification_metrics, training_metrics
from gender_lightning.evaluation.results import Evaluation
from gender_lightning.reports.evaluation_page import _metric_row
from gender_lightning.reports.model_card import model_card


def informedness(totals: Floats) -> Floats:
    """Sum of both recalls less one (Youden 1950)."""
    male_right, male_wrong, female_right, female_wrong = np.moveaxis(totals, -1, 0)
    return male_right / (male_right + male_wrong) + female_right / (female_right + female_wrong) - 1


def absolute_errors(labels: np.ndarray, logits: Floats) -> Floats:
    return np.abs(metric_list.sigmoid(logits) - labels)


ADDED = (
    Metric("informedness", "Youden's J", "decision", informedness),
    Metric("absolute_error", "absolute error", "loss", absolute_errors, better="min"),
    Metric("auroc_again", "AUROC again", "ranking", metric_list.auroc),
)


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metric_list, "METRICS", (*METRICS, *ADDED))


@pytest.fixture
def table() -> pd.DataFrame:
    draw = np.random.default_rng(3)
    labels = np.arange(240) % 2
    logits = draw.normal(3.0 * labels - 1.5, 1.5)
    names = [f"{number:06d}.jpg" for number in range(240)]
    return pd.DataFrame({
        "image_id": names, "split": "test", "label": labels.astype(np.int8), "logit": logits.astype(np.float32),
        "probability": (1 / (1 + np.exp(-logits))).astype(np.float32),
        "identity": pd.array(np.repeat(np.arange(60), 4), dtype="Int32"),
    })  # fmt: skip


@pytest.fixture
def evaluation(added: None, table: pd.DataFrame) -> Evaluation:
    model = {"backbone": "resnet18", "image_size": 32, "parameters": 1, "test_time_flip": False}
    subject = Subject("best.ckpt", "run", "celeba", "test", True, model)
    return evaluate_table(subject, table, None, resamples=200)


def test_names_are_unique_and_each_has_its_words() -> None:
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names) and all(metric.label for metric in METRICS)
    assert training_metrics() == (
        "accuracy", "balanced_accuracy", "recall_male", "recall_female", "f1", "auroc", "loss",
    )  # fmt: skip
    assert {metric.name for metric in metrics_of() if metric.better == "min"} == {"loss", "brier"}


def test_training_reports_it(added: None, table: pd.DataFrame) -> None:
    labels, logits = table["label"].to_numpy(), table["logit"].to_numpy(np.float64)
    found = classification_metrics(labels, logits)
    assert found["informedness"] == pytest.approx(2 * found["balanced_accuracy"] - 1)
    assert found["absolute_error"] == pytest.approx(np.abs(1 / (1 + np.exp(-logits)) - labels).mean())
    assert found["auroc_again"] == found["auroc"]
    rows = metrics_table({"val": found}).columns[0]._cells
    assert {"informedness", "absolute_error", "auroc_again"} <= set(rows)


def test_evaluation_and_its_pages_report_it(evaluation: Evaluation) -> None:
    measure = evaluation.metrics["informedness"]
    assert measure.low < measure.value < measure.high and measure.value < 1
    assert evaluation.metrics_at_threshold["informedness"].value == measure.value
    assert evaluation.metrics["auroc_again"].value == pytest.approx(evaluation.metrics["auroc"].value)
    flat = evaluation.flat()
    assert flat["test/informedness"] == measure.value and flat["test/absolute_error"] > 0
    assert "informedness" in evaluation_table(evaluation).columns[0]._cells
    assert "Youden's J" in str(_metric_row(evaluation, "informedness", metric_list.label_of("informedness")))
    assert "| Youden's J |" in model_card(evaluation, {}, {})


def test_comparison_reports_it(added: None, table: pd.DataFrame) -> None:
    from types import SimpleNamespace

    from gender_lightning.comparison.runs.reading import RunResult

    run = RunResult(SimpleNamespace(path="x"), "a", {}, {}, (), table, None)  # type: ignore[arg-type]
    scores = scores_of(SimpleNamespace(runs=[run]), resampling_of(run))  # type: ignore[arg-type]
    assert scores["informedness"].mean == pytest.approx(2 * scores["balanced_accuracy"].mean - 1)
    assert scores["absolute_error"].mean > 0
    row = SimpleNamespace(scores=scores)
    shown = {metric.label: _metric_column(metric).cell(row) for metric in metrics_of(place="table")}  # type: ignore[arg-type]
    assert shown["Youden's J"].text.startswith(f"{100 * scores['informedness'].mean:.1f}")
    assert shown["absolute error"].text.startswith(f"{scores['absolute_error'].mean:.4f}")
    assert shown["AUROC again"].text == UNKNOWN  # compare resamples, for which a ranking needs its form for histograms
