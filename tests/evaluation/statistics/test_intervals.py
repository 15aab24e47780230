"""The bootstrap agrees with scipy and a bootstrap by brute force, and covers what it should."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from gender_lightning.evaluation.metric_list import metrics_of
from gender_lightning.evaluation.metrics import confusion_columns
from gender_lightning.evaluation.statistics.intervals import Resampling, clusters_of
from gender_lightning.evaluation.statistics.proportions import wilson
from gender_lightning.evaluation.statistics.totals import decision_metrics

DECISIONS = tuple(metric.name for metric in metrics_of("decision"))


def ratio(totals: np.ndarray) -> np.ndarray:
    return totals[..., :1] / totals[..., 1:2]


def persons(seed: int, number: int = 60, spread: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    """(correct, clusters): persons differ in how hard they are, and in how many images they have."""
    generator = np.random.default_rng(seed)
    sizes = generator.integers(1, 30, number)
    ability = 1 / (1 + np.exp(-(2.0 + spread * generator.normal(size=number))))
    clusters = np.repeat(np.arange(number), sizes)
    return generator.random(len(clusters)) < ability[clusters], clusters


def test_unknown_identities_stand_alone() -> None:
    column = pd.array([7, None, 3, 7, None], dtype="Int32")
    codes = clusters_of(column, 5)
    assert codes[0] == codes[3]
    assert len(set(codes.tolist())) == 4
    assert clusters_of(None, 3).tolist() == [0, 1, 2]
    assert clusters_of(pd.array([None] * 3, dtype="Int32"), 3).tolist() == [0, 1, 2]


def test_bootstrap_is_the_brute_force_one() -> None:
    correct, clusters = persons(1)
    labels = (clusters % 2).astype(int)
    decided = np.where(correct, labels, 1 - labels)
    columns = confusion_columns(labels, decided)
    boot = Resampling(clusters, resamples=4000, seed=3).bootstrap(columns, decision_metrics)
    generator = np.random.default_rng(4)
    members = [np.flatnonzero(clusters == c) for c in range(60)]
    brute = []
    for _ in range(1500):
        rows = np.concatenate([members[c] for c in generator.integers(0, 60, 60)])
        brute.append(decision_metrics(columns[rows].sum(axis=0)))
    spread = np.std(np.array(brute), axis=0, ddof=1)
    np.testing.assert_allclose(boot.resampled.std(axis=0, ddof=1), spread, rtol=0.08)
    np.testing.assert_allclose(np.mean(boot.resampled, axis=0), np.mean(brute, axis=0), atol=0.1 * spread.max())
    assert boot.estimate[DECISIONS.index("accuracy")] == pytest.approx(correct.mean())


def test_intervals_are_scipys_bca() -> None:
    values = np.random.default_rng(5).exponential(size=80)
    columns = np.stack([values, np.ones(80)], axis=1)
    (ours,) = Resampling(np.arange(80), resamples=20_000, seed=1).bootstrap(columns, ratio).intervals()
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="BCa", rng=2).confidence_interval
    # ours is wider by Student's factor and sqrt(G / (G - 1)), at 80 groups 2 %
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.02)


def test_groups_of_many_clusters_vary_as_the_clusters() -> None:
    generator = np.random.default_rng(6)
    correct = (generator.random(20_000) < 0.97).astype(float)
    columns = np.stack([correct, np.ones(20_000)], axis=1)
    resampling = Resampling(np.arange(20_000), resamples=4000, seed=1)
    assert resampling.number == 2000
    boot = resampling.bootstrap(columns, ratio)
    expected = math.sqrt(correct.mean() * (1 - correct.mean()) / 20_000)
    assert boot.resampled.std(ddof=1) == pytest.approx(expected, rel=0.06)


def test_the_same_draws_for_everything_and_for_every_seed_others() -> None:
    clusters = np.arange(50)
    same, other = Resampling(clusters, resamples=20, seed=1), Resampling(clusters, resamples=20, seed=2)
    assert np.array_equal(Resampling(clusters, resamples=20, seed=1).weights, same.weights)
    assert not np.array_equal(other.weights, same.weights)
    assert (same.weights.sum(axis=1) == 50).all()


def test_what_is_undefined_has_no_interval() -> None:
    columns = confusion_columns(np.zeros(20), np.zeros(20))
    boot = Resampling(np.arange(20), resamples=100).bootstrap(columns, decision_metrics)
    found = dict(zip(DECISIONS, boot.intervals(), strict=True))
    # that nothing varied does not make an accuracy of 1 certain
    assert all(math.isnan(end) for name in ("accuracy", "recall_male", "f1", "mcc") for end in found[name])


def test_the_bootstrap_covers_the_truth_and_says_nothing_of_few_persons() -> None:
    truth = np.mean([persons(seed, 4000)[0].mean() for seed in range(10_000, 10_010)])
    covered = naive = 0
    for seed in range(200):
        correct, clusters = persons(seed)
        columns = np.stack([correct, np.ones(len(correct))], axis=1)
        (interval,) = Resampling(clusters, resamples=500, seed=seed).bootstrap(columns, ratio).intervals()
        covered += truth in interval
        naive += truth in wilson(correct.sum(), len(correct))
    assert 0.90 <= covered / 200 <= 0.98
    assert naive / 200 < 0.85  # what taking images for independent would give
    few = Resampling(np.arange(9), resamples=100).bootstrap(np.stack([np.arange(9), np.ones(9)], axis=1), ratio)
    assert math.isnan(few.intervals()[0].low)
