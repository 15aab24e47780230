"""Tests agree with statsmodels and scipy, and reject as often as they should."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as their_mcnemar
from statsmodels.stats.multitest import multipletests

from gender_lightning.evaluation.metric_list import metrics_of
from gender_lightning.evaluation.metrics import confusion_columns
from gender_lightning.evaluation.statistics.intervals import Resampling
from gender_lightning.evaluation.statistics.significance import (
    fisher_exact,
    holm,
    mcnemar,
    membership_tests,
    paired_differences,
)
from gender_lightning.evaluation.statistics.totals import decision_metrics

DECISIONS = tuple(metric.name for metric in metrics_of("decision"))


@pytest.mark.parametrize(("b", "c"), [(0, 0), (0, 7), (12, 12), (40, 18), (300, 340)])
def test_mcnemar_is_statsmodels(b: int, c: int) -> None:
    first = np.r_[np.ones(50), np.ones(b), np.zeros(c), np.zeros(9)]
    second = np.r_[np.ones(50), np.zeros(b), np.ones(c), np.zeros(9)]
    ours = mcnemar(first, second)
    assert (ours.only_first, ours.only_second) == (b, c)
    if b + c:
        assert ours.p == pytest.approx(their_mcnemar([[50, b], [c, 9]], exact=True).pvalue)
    else:
        assert ours.p == 1


def test_holm_is_statsmodels() -> None:
    p = np.random.default_rng(1).random(30) ** 4
    np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1])
    with_gap = holm([0.01, np.nan, 0.04])
    assert with_gap[[0, 2]] == pytest.approx([0.02, 0.04]) and np.isnan(with_gap[1])
    assert len(holm([])) == 0


def two_models(seed: int, better: float) -> tuple[np.ndarray, ...]:
    """(labels, first's decisions, second's, persons); the first is right more often by `better`."""
    generator = np.random.default_rng(seed)
    clusters = np.repeat(np.arange(80), generator.integers(2, 20, 80))
    hard = generator.beta(8, 1.2, 80)[clusters]
    labels = clusters % 2
    noise = generator.random(len(labels))  # shared: the models fail on the same images
    flips = [np.where(generator.random(len(labels)) < 0.3, generator.random(len(labels)), noise) for _ in range(2)]
    right = [flips[0] < np.minimum(hard + better, 1), flips[1] < hard]
    return labels, np.where(right[0], labels, 1 - labels), np.where(right[1], labels, 1 - labels), clusters


def test_paired_difference_is_the_brute_force_one() -> None:
    labels, first, second, clusters = two_models(1, 0.05)
    columns = confusion_columns(labels, first), confusion_columns(labels, second)
    found = paired_differences(Resampling(clusters, resamples=4000, seed=1), *columns, decision_metrics)
    accuracy = found[DECISIONS.index("accuracy")]
    gain = (first == labels).astype(float) - (second == labels)
    assert accuracy.estimate == pytest.approx(gain.mean())
    members = [np.flatnonzero(clusters == c) for c in range(80)]
    generator = np.random.default_rng(2)
    brute = [gain[np.concatenate([members[c] for c in generator.integers(0, 80, 80)])].mean() for _ in range(3000)]
    width = accuracy.interval.high - accuracy.interval.low
    assert accuracy.interval == pytest.approx(tuple(np.quantile(brute, [0.025, 0.975])), abs=0.1 * width)
    assert accuracy.p < 0.01


def test_a_model_does_not_differ_from_itself() -> None:
    labels, first, _, clusters = two_models(3, 0.0)
    columns = confusion_columns(labels, first)
    for difference in paired_differences(Resampling(clusters, resamples=500), columns, columns, decision_metrics):
        assert difference.estimate == 0 and difference.p == 1 and np.isnan(difference.interval.low)


def test_no_difference_is_found_as_often_as_the_level_says() -> None:
    p = []
    for seed in range(200):
        labels, first, second, clusters = two_models(seed, 0.0)
        columns = confusion_columns(labels, first), confusion_columns(labels, second)
        p.append(paired_differences(Resampling(clusters, resamples=400, seed=seed), *columns, decision_metrics)[0].p)
    assert np.mean(np.array(p) < 0.05) <= 0.10


def test_membership_of_independent_images_is_pearsons_test() -> None:
    generator = np.random.default_rng(5)
    members = generator.random((3000, 4)) < [0.5, 0.3, 0.1, 0.2]
    correct = generator.random(3000) < 0.9 - 0.06 * members[:, 0] - 0.03 * members[:, 1]
    ours = membership_tests(correct, members, Resampling(np.arange(3000), seed=1))
    for s in range(4):
        table = [[np.sum(members[:, s] & correct), np.sum(members[:, s] & ~correct)]]
        table.append([np.sum(~members[:, s] & correct), np.sum(~members[:, s] & ~correct)])
        expected = stats.chi2_contingency(table, correction=False).pvalue
        assert ours[s] == pytest.approx(expected, rel=0.35, abs=0.01)


def test_membership_of_persons_rejects_as_often_as_the_level_says() -> None:
    naive, clustered = [], []
    for seed in range(60):
        generator = np.random.default_rng(seed)
        clusters = np.repeat(np.arange(100), 15)
        correct = generator.random(1500) < generator.beta(9, 1, 100)[clusters]
        members = np.repeat(generator.random((100, 5)) < 0.3, 15, axis=0)  # a trait of persons
        clustered.append(membership_tests(correct, members, Resampling(clusters, seed=seed), flips=1000))
        if seed < 20:
            naive.append(membership_tests(correct, members, Resampling(np.arange(1500), seed=seed), flips=1000))
    assert np.mean(np.concatenate(clustered) < 0.05) <= 0.09
    assert np.mean(np.concatenate(naive) < 0.05) > 0.10


def test_a_slice_of_few_persons_is_not_tested() -> None:
    clusters = np.repeat(np.arange(200), 5)
    members = np.stack([clusters < 3, clusters < 20, clusters >= 3], axis=1)
    p = membership_tests(clusters >= 20, members, Resampling(clusters), flips=500)
    assert np.isnan(p).tolist() == [True, False, True] and p[1] < 0.01


def test_membership_within_a_population() -> None:
    generator = np.random.default_rng(7)
    male = generator.random(2000) < 0.5
    member = male & (generator.random(2000) < 0.2)
    correct = generator.random(2000) < np.where(male, 0.8, 0.99)  # males are harder, these males are as others
    resampling = Resampling(np.arange(2000))
    everyone = membership_tests(correct, member[:, None], resampling)
    males = membership_tests(correct, member[:, None], resampling, male[:, None])
    assert everyone[0] < 0.05 and males[0] > 0.05


def test_differences_within_persons_and_of_many_persons_are_found() -> None:
    """What guards against findings of few persons must not hide the others."""
    found = []
    for seed in range(20):
        random = np.random.default_rng(seed)
        clusters = np.repeat(np.arange(150), 15)
        ability = random.beta(17.1, 0.9, 150)[clusters]  # accuracy .95, intra-class correlation .05
        images = random.random(len(clusters)) < 0.2
        persons = (np.arange(150) < 50)[clusters]
        correct = random.random(len(clusters)) < ability - 0.06 * images - 0.06 * persons
        found.append(membership_tests(correct, np.stack([images, persons], 1), Resampling(clusters), flips=2000) < 0.01)
    assert np.mean(found, axis=0).min() >= 0.8, np.mean(found, axis=0)


@pytest.mark.parametrize(
    ("hits", "images", "all_hits", "all_images"), [(104, 104, 1390, 1427), (3, 9, 20, 40), (0, 0, 5, 9)]
)
def test_fisher_is_scipys(hits: int, images: int, all_hits: int, all_images: int) -> None:
    rest = [all_hits - hits, all_images - images - all_hits + hits]
    expected = stats.fisher_exact([[hits, images - hits], rest]).pvalue
    assert fisher_exact(hits, images, all_hits, all_images) == pytest.approx(expected)


def family_errors(people: int, accuracy: float, correlation: float, times: int) -> float:
    """How often any of 30 traits, of persons or of images, is called worse or better although none is."""
    found = 0
    for seed in range(times):
        random = np.random.default_rng([seed, people])
        clusters = np.repeat(np.arange(people), np.clip(random.geometric(1 / 17, people), 1, 40))
        ability = np.full(people, accuracy)
        if correlation:
            size = (1 - correlation) / correlation
            ability = random.beta(accuracy * size, (1 - accuracy) * size, people)
        correct = random.random(len(clusters)) < ability[clusters]
        common = random.random(30) * 0.4 + 0.03
        members = random.random((len(clusters), 30)) < np.where(
            np.arange(30) < 15, random.random((people, 30))[clusters] < common, common
        )
        p = membership_tests(correct, members, Resampling(clusters, seed=seed), flips=1000)
        found += bool(np.nanmin(np.append(holm(p), 1.0)) < 0.05)
    return found / times


def test_a_slice_without_errors_is_no_finding() -> None:
    assert family_errors(100, 0.975, 0.02, 25) <= 0.16  # three standard errors above 0.05; it was 0.6


def test_many_people_of_whom_few_have_the_errors_are_no_finding() -> None:
    """A trait of 30 of 800 persons, none of whom is hard by chance, was called better in .13 of such splits."""
    assert family_errors(800, 0.975, 0.3, 40) <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize(("people", "accuracy"), [(30, 0.9), (100, 0.9), (100, 0.975), (400, 0.99)])
def test_family_wise_errors_are_as_rare_as_they_should_be(people: int, accuracy: float) -> None:
    found = [family_errors(people, accuracy, correlation, 60) for correlation in (0.0, 0.1, 0.3)]
    assert max(found) <= 0.07 + 0.085 and np.mean(found) <= 0.07 + 0.04, found  # of 60: 0.028 each
