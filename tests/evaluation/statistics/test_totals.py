"""Metrics of totals are scikit-learn's and torchmetrics'."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import metrics as oracle
from torchmetrics.functional import classification as torchmetrics

from gender_lightning.evaluation.metric_list import metrics_of
from gender_lightning.evaluation.metrics import confusion_columns, probabilities
from gender_lightning.evaluation.statistics.intervals import Resampling
from gender_lightning.evaluation.statistics.totals import (
    MetricColumns,
    decision_metrics,
    loss_columns,
    ranking_columns,
)

DECISIONS = tuple(metric.name for metric in metrics_of("decision"))


def draw(n: int, seed: int, digits: int = 2) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = (generator.random(n) < 0.4).astype(int)
    return labels, np.round(generator.normal(labels * 3 - 1.4, 1.3), digits)


def values(found: MetricColumns) -> dict[str, float]:
    return dict(zip(found.names, found.metric(found.columns.sum(axis=0, dtype=np.float64)), strict=True))


@pytest.mark.parametrize("threshold", [0.5, 0.31])
def test_decisions(threshold: float) -> None:
    labels, logits = draw(700, 1)
    probability = probabilities(logits)
    said = probability >= threshold
    totals = confusion_columns(labels, said).sum(axis=0)
    got = dict(zip(DECISIONS, decision_metrics(totals).tolist(), strict=True))
    expected = {
        "accuracy": oracle.accuracy_score(labels, said),
        "balanced_accuracy": oracle.balanced_accuracy_score(labels, said),
        "recall_male": oracle.recall_score(labels, said),
        "recall_female": oracle.recall_score(labels, said, pos_label=0),
        "precision_male": oracle.precision_score(labels, said),
        "precision_female": oracle.precision_score(labels, said, pos_label=0),
        "f1": oracle.f1_score(labels, said),
        "mcc": oracle.matthews_corrcoef(labels, said),
    }
    assert got == pytest.approx(expected)
    scores, truth = torch.tensor(probability), torch.tensor(labels)
    assert got["mcc"] == pytest.approx(
        float(torchmetrics.binary_matthews_corrcoef(scores, truth, threshold - 1e-9)), abs=1e-6
    )


@pytest.mark.parametrize(("n", "digits"), [(60, 1), (700, 6), (6000, 6)])  # the last has more runs than bins
def test_ranking(n: int, digits: int) -> None:
    labels, logits = draw(n, 2, digits)
    got = values(ranking_columns(labels, logits))
    assert got["auroc"] == pytest.approx(oracle.roc_auc_score(labels, logits))
    assert got["average_precision"] == pytest.approx(oracle.average_precision_score(labels, logits))


@pytest.mark.parametrize("n", [300, 6000])
def test_ranking_of_resamples(n: int) -> None:
    labels, logits = draw(n, 3, 6)
    found = ranking_columns(labels, logits)
    resampling = Resampling(np.arange(n) // 5, resamples=40, seed=1)
    got = resampling.bootstrap(found.columns, found.metric).resampled
    tolerance = 0.25 * got.std(axis=0)  # of what the resamples vary by
    for row, weights in zip(got, resampling.weights, strict=True):
        images = weights[resampling.groups]
        scores = (oracle.roc_auc_score, oracle.average_precision_score)
        expected = [score(labels, logits, sample_weight=images) for score in scores]
        assert (np.abs(row - expected) <= tolerance).all()


def test_losses() -> None:
    labels, logits = draw(500, 4)
    found = loss_columns(labels, logits / 1.7, logits)
    got = found.metric(found.columns.sum(axis=0))
    both = [probabilities(logits, 1.7), probabilities(logits)]
    assert found.names == ("loss", "brier") * 2
    scores = [metric(labels, one) for one in both for metric in (oracle.log_loss, oracle.brier_score_loss)]
    assert got == pytest.approx(scores)


def test_totals_of_any_shape() -> None:
    totals = np.random.default_rng(1).integers(1, 9, (3, 5, 4)).astype(float)
    together = decision_metrics(totals)
    assert together.shape == (3, 5, len(DECISIONS))
    np.testing.assert_allclose(together[2, 4], decision_metrics(totals[2, 4]))
