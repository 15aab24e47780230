"""Proportions of persons with several images: their intervals cover what they say, at 10, 30 and 100 persons."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from statsmodels.stats.proportion import proportion_confint

from gender_lightning.evaluation.statistics.proportions import (
    NOWHERE,
    DesignEffect,
    clopper_pearson,
    combined,
    per_person,
    proportion,
    wilson,
)


def draw(seed: int, people: int, accuracy: float, correlation: float) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """(correct, clusters): beta-binomial persons with 1 to 40 images."""
    random = np.random.default_rng([seed, people])
    clusters = np.repeat(np.arange(people), np.clip(random.geometric(1 / 17, people), 1, 40))
    if correlation == 0:
        return random.random(len(clusters)) < accuracy, clusters
    size = (1 - correlation) / correlation
    ability = random.beta(accuracy * size, (1 - accuracy) * size, people)
    return random.random(len(clusters)) < ability[clusters], clusters


@pytest.mark.parametrize(("hits", "n"), [(0, 1), (0, 30), (7, 9), (30, 30), (1700, 1740)])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_independent_images_are_statsmodels(hits: int, n: int, level: float) -> None:
    assert wilson(hits, n, level) == pytest.approx(proportion_confint(hits, n, 1 - level, method="wilson"), abs=1e-12)
    assert clopper_pearson(hits, n, level) == pytest.approx(proportion_confint(hits, n, 1 - level, method="beta"))


def test_wilson_of_nothing_is_nowhere() -> None:
    assert all(math.isnan(end) for end in wilson(0, 0))


def test_design_effect_of_copies_is_their_number() -> None:
    correct = np.random.default_rng(1).random(400) < 0.8
    copies = np.repeat(correct, 5)
    alike, alone = DesignEffect.of(copies, np.repeat(np.arange(400), 5)), DesignEffect.of(copies, np.arange(2000))
    assert alike is not None and alike.value == pytest.approx(5, rel=0.01)
    assert alone is not None and alone.value == pytest.approx(1, abs=0.01)
    assert DesignEffect.of(np.ones(50), np.arange(50)) is None


def test_all_right_is_as_sure_as_there_are_people() -> None:
    """1,740 images of 100 people, all right, do not make 0.998 the least that is possible."""
    people = np.repeat(np.arange(100), 17)
    low, high = proportion(np.ones(1700), people)
    assert high == 1 and low == pytest.approx(clopper_pearson(100, 100).low, abs=0.002) and 0.95 < low < 0.97
    alone = proportion(np.ones(1700), np.arange(1700))
    assert alone == clopper_pearson(1700, 1700)


def test_a_part_borrows_what_it_cannot_show() -> None:
    people = np.repeat(np.arange(50), 4)
    alone, borrowed = proportion(np.ones(200), people), proportion(np.ones(200), people, like=DesignEffect(1.5, 60.0))
    assert alone.low < borrowed.low < clopper_pearson(200, 200).low


def test_fewer_than_ten_people_have_no_interval() -> None:
    assert all(math.isnan(end) for end in proportion(np.ones(90), np.repeat(np.arange(9), 10)))
    assert proportion(np.ones(100), np.repeat(np.arange(10), 10)).low > 0.6


def test_a_mean_of_two_recalls_is_newcombes() -> None:
    ends = [clopper_pearson(45, 50), clopper_pearson(38, 40)]
    low, high = combined(lambda a, b: (a + b) / 2, [0.9, 0.95], ends)
    assert low == pytest.approx(0.925 - math.hypot(0.9 - ends[0].low, 0.95 - ends[1].low) / 2)
    assert high == pytest.approx(0.925 + math.hypot(ends[0].high - 0.9, ends[1].high - 0.95) / 2)
    assert math.isnan(combined(lambda a, b: a + b, [0.5, 0.5], [NOWHERE, ends[0]]).low)


def test_per_person_is_a_group_by_and_of_single_images_the_plain_proportion() -> None:
    correct, people = draw(3, 40, 0.9, 0.2)
    value, interval = per_person(correct, people)
    assert value == pytest.approx(pd.Series(correct).groupby(people).mean().mean()) and value in interval
    alone = np.random.default_rng(4).random(60) < 0.9
    assert per_person(alone, np.arange(60))[1] == pytest.approx(clopper_pearson(int(alone.sum()), 60), abs=1e-9)
    assert per_person(np.ones(90), np.repeat(np.arange(9), 10)) == (1.0, NOWHERE)
    assert math.isnan(per_person(np.zeros(0), np.zeros(0, dtype=np.int64))[0])


@pytest.mark.parametrize(("people", "accuracy", "correlation"), [(30, 0.95, 0.1), (100, 0.9, 0.3)])
def test_per_person_covers_the_truth(people: int, accuracy: float, correlation: float) -> None:
    draws = (draw(seed, people, accuracy, correlation) for seed in range(300))
    assert np.mean([accuracy in per_person(*drawn)[1] for drawn in draws]) > 0.93 - 0.03


def coverage(people: int, accuracy: float, correlation: float, times: int) -> float:
    return float(np.mean([accuracy in proportion(*draw(seed, people, accuracy, correlation)) for seed in range(times)]))


@pytest.mark.parametrize(("people", "accuracy", "correlation"), [(10, 0.95, 0.3), (30, 0.975, 0.1), (100, 0.998, 0.1)])
def test_intervals_cover_the_truth(people: int, accuracy: float, correlation: float) -> None:
    assert coverage(people, accuracy, correlation, 300) > (0.90 if people < 30 else 0.93) - 0.03


@pytest.mark.slow
@pytest.mark.parametrize("people", [10, 30, 100])
def test_intervals_cover_the_truth_everywhere(people: int) -> None:
    grid = [(accuracy, icc) for accuracy in (0.9, 0.95, 0.975, 0.99, 0.998) for icc in (0.0, 0.1, 0.3)]
    found = {cell: coverage(people, *cell, 1000) for cell in grid}
    assert min(found.values()) > (0.90 if people < 30 else 0.93) - 0.016, found  # two standard errors of 1,000
