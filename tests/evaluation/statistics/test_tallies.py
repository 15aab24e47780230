"""Metrics of totals are scikit-learn's and torchmetrics'."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import metrics as oracle
from torchmetrics.functional import classification as torchmetrics

from gender_lightning.evaluation.metric_list import metrics_of
from gender_lightning.evaluation.metrics import probabilities
from gender_lightning.evaluation.statistics.intervals import Resampling
from gender_lightning.evaluation.statistics.tallies import (
    Tally,
    decision_tally,
    loss_tally,
    ranking_tally,
)

DECISIONS = tuple(metric.name for metric in metrics_of("decision"))


def draw(n: int, seed: int, digits: int = 2) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = (generator.random(n) < 0.4).astype(int)
    return labels, np.round(generator.normal(labels * 3 - 1.4, 1.3), digits)


def values(tally: Tally) -> dict[str, float]:
    return dict(zip(tally.names, tally.metric(tally.columns.sum(axis=0, dtype=np.float64)), strict=True))


@pytest.mark.parametrize("threshold", [0.5, 0.31])
def test_decisions(threshold: float) -> None:
    labels, logits = draw(700, 1)
    probability = probabilities(logits)
    said = probability >= threshold
    got = values(decision_tally(labels, probability, threshold))
    assert tuple(got) == DECISIONS
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
    got = values(ranking_tally(labels, logits))
    assert got["auroc"] == pytest.approx(oracle.roc_auc_score(labels, logits))
    assert got["average_precision"] == pytest.approx(oracle.average_precision_score(labels, logits))


@pytest.mark.parametrize("n", [300, 6000])
def test_ranking_of_resamples(n: int) -> None:
    labels, logits = draw(n, 3, 6)
    tally = ranking_tally(labels, logits)
    resampling = Resampling(np.arange(n) // 5, resamples=40, seed=1)
    got = resampling.bootstrap(tally.columns, tally.metric).resampled
    tolerance = 0.25 * got.std(axis=0)  # of what the resamples vary by
    for row, weights in zip(got, resampling.weights, strict=True):
        images = weights[resampling.groups]
        scores = (oracle.roc_auc_score, oracle.average_precision_score)
        expected = [score(labels, logits, sample_weight=images) for score in scores]
        assert (np.abs(row - expected) <= tolerance).all()


def test_losses() -> None:
    labels, logits = draw(500, 4)
    got = values(loss_tally(labels, logits, temperature=1.7))
    calibrated = probabilities(logits, 1.7)
    assert got["loss"] == pytest.approx(oracle.log_loss(labels, calibrated))
    assert values(loss_tally(labels, logits))["loss"] == pytest.approx(oracle.log_loss(labels, probabilities(logits)))
    assert got["brier"] == pytest.approx(oracle.brier_score_loss(labels, calibrated))


def test_totals_of_any_shape() -> None:
    tally = decision_tally([0, 1, 1, 0], [0.1, 0.9, 0.2, 0.3])
    totals = np.random.default_rng(1).integers(1, 9, (3, 5, 4)).astype(float)
    together = tally.metric(totals)
    assert together.shape == (3, 5, len(DECISIONS))
    np.testing.assert_allclose(together[2, 4], tally.metric(totals[2, 4]))
