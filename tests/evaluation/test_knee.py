"""The knee of the risk-coverage curve: by hand, by a slow loop, and where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from gender_lightning.evaluation.knee import find_knee


def _logits(confidence: np.ndarray) -> np.ndarray:
    return np.log(confidence / (1 - confidence))


def test_by_hand() -> None:
    # the six surest are right, the four others are right and wrong by turns
    sure = np.array([0.99, 0.98, 0.97, 0.96, 0.95, 0.94, 0.7, 0.65, 0.6, 0.55])
    labels = np.array([1, 1, 1, 1, 1, 1, 0, 1, 0, 1])
    knee = find_knee(labels, _logits(sure), 1.0, clusters=np.arange(10))
    assert knee.min_confidence == pytest.approx(0.94) and knee.coverage == 0.6 and knee.risk == 0
    assert knee.risk_of_all == 0.2 and knee.curve[-1].tolist() == [1.0, 0.2] and len(knee.curve) == 10


@pytest.mark.parametrize("threshold", [0.5, 0.35])
def test_it_is_a_slow_loops(threshold: float) -> None:
    random = np.random.default_rng(3)
    persons = np.repeat(np.arange(40), random.integers(1, 30, 40))
    labels = (random.random(40) < 0.5).astype(int)[persons]
    logits = random.normal(np.where(labels == 1, 2.5, -2.5), 2.0)
    knee = find_knee(labels, logits, 1.4, clusters=np.unique(persons, return_inverse=True)[1], threshold=threshold)
    male = 1 / (1 + np.exp(-logits / 1.4))
    sure, wrong = np.where(male >= threshold, male, 1 - male), (male >= threshold) != (labels == 1)
    weight = 1 / np.bincount(persons)[persons] / 40
    best, of_all = None, (weight * wrong).sum()
    for level in np.sort(sure)[::-1]:
        kept = sure >= level
        coverage, risk = weight[kept].sum(), (weight * wrong)[kept].sum() / weight[kept].sum()
        if best is None or coverage - risk / of_all > best[0] + 1e-12:
            best = (coverage - risk / of_all, level, coverage, risk)
    assert best is not None and 0.5 < best[2] < 1
    assert (knee.min_confidence, knee.coverage, knee.risk) == pytest.approx(best[1:])
    assert knee.risk_of_all == pytest.approx(of_all)


def test_without_errors_or_without_a_clue_everything_is_decided() -> None:
    random = np.random.default_rng(1)
    labels = random.random(500) < 0.5
    right = find_knee(labels, np.where(labels, 3.0, -3.0) + random.normal(0, 0.1, 500), 1.0, clusters=np.arange(500))
    assert (right.min_confidence, right.coverage, right.risk) == (0.0, 1.0, 0.0)
    alike = find_knee(labels, np.full(500, 2.0), 1.0, clusters=np.arange(500))  # the same confidence for all
    assert alike.min_confidence == 0 and alike.coverage == 1 and alike.risk == alike.risk_of_all


def test_a_person_with_many_pictures_counts_once() -> None:
    sure = np.array([0.99, 0.9, 0.8, 0.6])
    labels, logits = np.array([1, 1, 1, 0]), _logits(sure)
    once = find_knee(labels, logits, 1.0, clusters=np.arange(4))
    often = np.r_[np.zeros(50, dtype=int), 1, 2, 3]
    again = find_knee(labels[often], logits[often], 1.0, clusters=often)
    assert (again.min_confidence, again.coverage, again.risk) == pytest.approx(
        (once.min_confidence, once.coverage, once.risk)
    )
