"""Intervals agree with statsmodels, scipy and a bootstrap by brute force, and cover what they should."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from gender_lightning.evaluation.statistics.intervals import (
    Interval,
    Resampling,
    clopper_pearson_low,
    clusters_of,
    design_effect,
    wilson,
    wilson_clustered,
)
from gender_lightning.evaluation.statistics.tallies import DECISION_METRICS, decision_tally


def ratio(totals: np.ndarray) -> np.ndarray:
    return totals[..., :1] / totals[..., 1:2]


def persons(seed: int, number: int = 60, spread: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    """(correct, clusters): persons differ in how hard they are, and in how many images they have."""
    generator = np.random.default_rng(seed)
    sizes = generator.integers(1, 30, number)
    ability = 1 / (1 + np.exp(-(2.0 + spread * generator.normal(size=number))))
    clusters = np.repeat(np.arange(number), sizes)
    return generator.random(len(clusters)) < ability[clusters], clusters


@pytest.mark.parametrize(("hits", "n"), [(0, 1), (0, 30), (7, 9), (30, 30), (1700, 1740)])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_wilson_is_statsmodels(hits: int, n: int, level: float) -> None:
    expected = proportion_confint(hits, n, 1 - level, method="wilson")
    assert wilson(hits, n, level) == pytest.approx(expected, abs=1e-12)


def test_wilson_of_nothing_is_nowhere() -> None:
    assert all(math.isnan(end) for end in wilson(0, 0))


@pytest.mark.parametrize(("hits", "n"), [(0, 5), (5, 5), (590, 600), (3, 10)])
def test_clopper_pearson_is_statsmodels(hits: int, n: int) -> None:
    expected = proportion_confint(hits, n, 0.1, method="beta")[0]  # two-sided 90 %: one-sided 95 %
    assert clopper_pearson_low(hits, n, 0.95) == pytest.approx(expected)


def test_unknown_identities_stand_alone() -> None:
    column = pd.array([7, None, 3, 7, None], dtype="Int32")
    codes = clusters_of(column, 5)
    assert codes[0] == codes[3]
    assert len(set(codes.tolist())) == 4
    assert clusters_of(None, 3).tolist() == [0, 1, 2]
    assert clusters_of(pd.array([None] * 3, dtype="Int32"), 3).tolist() == [0, 1, 2]


def test_design_effect_of_copies_is_their_number() -> None:
    correct = np.random.default_rng(1).random(400) < 0.8
    copies = np.repeat(correct, 5)
    assert design_effect(copies, np.repeat(np.arange(400), 5)) == pytest.approx(5, rel=0.01)
    assert design_effect(copies, np.arange(2000)) == pytest.approx(1, abs=0.01)
    assert design_effect(np.ones(50), np.arange(50)) == 1


def test_a_slice_borrows_the_design_effect_of_its_split() -> None:
    alone = wilson_clustered(np.ones(40), np.repeat(np.arange(10), 4))
    borrowed = wilson_clustered(np.ones(40), np.repeat(np.arange(10), 4), least_effect=3.0)
    assert borrowed.low < alone.low and alone.high == borrowed.high == 1
    assert borrowed == pytest.approx(wilson(40 / 3, 40 / 3))
    # an image per person has no effect to borrow
    assert wilson_clustered(np.ones(40), np.arange(40), least_effect=3.0) == pytest.approx(wilson(40, 40))


def test_bootstrap_is_the_brute_force_one() -> None:
    correct, clusters = persons(1)
    labels = (clusters % 2).astype(int)
    decided = np.where(correct, labels, 1 - labels)
    tally = decision_tally(labels, decided.astype(float))
    boot = Resampling(clusters, resamples=4000, seed=3).bootstrap(tally.columns, tally.metric)
    generator = np.random.default_rng(4)
    members = [np.flatnonzero(clusters == c) for c in range(60)]
    brute = []
    for _ in range(1500):
        rows = np.concatenate([members[c] for c in generator.integers(0, 60, 60)])
        brute.append(tally.metric(tally.columns[rows].sum(axis=0)))
    spread = np.std(np.array(brute), axis=0, ddof=1)
    np.testing.assert_allclose(boot.standard_errors(), spread, rtol=0.08)
    np.testing.assert_allclose(np.mean(boot.resampled, axis=0), np.mean(brute, axis=0), atol=0.1 * spread.max())
    assert boot.estimate[DECISION_METRICS.index("accuracy")] == pytest.approx(correct.mean())


def test_intervals_are_scipys_bca() -> None:
    values = np.random.default_rng(5).exponential(size=80)
    columns = np.stack([values, np.ones(80)], axis=1)
    (ours,) = Resampling(np.arange(80), resamples=20_000, seed=1).bootstrap(columns, ratio).intervals()
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="BCa", rng=2).confidence_interval
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.01)


def test_groups_of_many_clusters_vary_as_the_clusters() -> None:
    generator = np.random.default_rng(6)
    correct = (generator.random(20_000) < 0.97).astype(float)
    columns = np.stack([correct, np.ones(20_000)], axis=1)
    resampling = Resampling(np.arange(20_000), resamples=4000, seed=1)
    assert resampling.number == 2000
    boot = resampling.bootstrap(columns, ratio)
    expected = math.sqrt(correct.mean() * (1 - correct.mean()) / 20_000)
    assert boot.standard_errors()[0] == pytest.approx(expected, rel=0.06)


def test_the_same_draws_for_everything_and_for_every_seed_others() -> None:
    clusters = np.arange(50)
    same, other = Resampling(clusters, resamples=20, seed=1), Resampling(clusters, resamples=20, seed=2)
    assert np.array_equal(Resampling(clusters, resamples=20, seed=1).weights, same.weights)
    assert not np.array_equal(other.weights, same.weights)
    assert (same.weights.sum(axis=1) == 50).all()


def test_what_is_undefined_has_no_interval() -> None:
    tally = decision_tally(np.zeros(20), np.zeros(20))
    boot = Resampling(np.arange(20), resamples=100).bootstrap(tally.columns, tally.metric)
    found = dict(zip(tally.names, boot.intervals(), strict=True))
    assert found["accuracy"] == (1, 1) and found["recall_female"] == (1, 1)
    assert all(math.isnan(end) for name in ("recall_male", "f1", "mcc") for end in found[name])


@pytest.mark.parametrize("method", ["bootstrap", "wilson_clustered"])
def test_intervals_cover_the_truth(method: str) -> None:
    truth = np.mean([persons(seed, 4000)[0].mean() for seed in range(10_000, 10_010)])
    covered = naive = 0
    for seed in range(300):
        correct, clusters = persons(seed)
        interval: Interval
        if method == "bootstrap":
            columns = np.stack([correct, np.ones(len(correct))], axis=1)
            (interval,) = Resampling(clusters, resamples=600, seed=seed).bootstrap(columns, ratio).intervals()
        else:
            interval = wilson_clustered(correct, clusters)
        covered += truth in interval
        naive += truth in wilson(correct.sum(), len(correct))
    assert 0.90 <= covered / 300 <= 0.98
    assert naive / 300 < 0.85  # what taking images for independent would give
