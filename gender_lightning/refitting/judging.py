"""Before and after on the same images: metrics and groups, with intervals over persons and paired tests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gender_lightning.evaluation.measure import Measure
from gender_lightning.evaluation.statistics.intervals import Resampling
from gender_lightning.evaluation.statistics.proportions import (
    FEWEST_PERSONS,
    NOWHERE,
    DesignEffect,
    Floats,
    Interval,
    combined,
    persons_in,
    proportion,
)
from gender_lightning.evaluation.statistics.significance import McNemar, mcnemar, paired_differences

SIGNIFICANT = 0.05
OVERALL = ("accuracy", "balanced_accuracy", "recall_male", "recall_female", "worst_group")
_FIXED = 3  # accuracy and both recalls: sets of images that are always there
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class BeforeAfter:
    """A number before and after.

    Attributes:
        name: One of `OVERALL`, or the name of a group.
        images: Number of images.
        persons: Number of persons on them; images of unknown persons count one each.
        before: The number with the old head.
        after: The number with the new one.
        difference: After minus before, with its interval.
        p: Two-sided, of no difference, over persons; nan with fewer than ten of them.
    """

    name: str
    images: int
    persons: int
    before: Measure
    after: Measure
    difference: Measure
    p: float

    @property
    def surely(self) -> bool:
        """Whether the difference is more than chance, by its p and by its interval, which are of two methods."""
        return self.p < SIGNIFICANT and not self.across

    @property
    def across(self) -> bool:
        """Whether 0 is in the interval; not where there is none."""
        return self.difference.low <= 0 <= self.difference.high


@dataclass(frozen=True)
class HeadComparison:
    """Two heads on the same images.

    Attributes:
        images: Number of images.
        persons: Number of persons; None where they are unknown.
        rows: `OVERALL` first, then the groups; where these are the classes, the recalls say it all.
        paired: McNemar's test: images that only the old head decides rightly, and that only the new one does.
        worst: Names of the worst group before and after.
    """

    images: int
    persons: int | None
    rows: tuple[BeforeAfter, ...]
    paired: McNemar
    worst: tuple[str, str]

    def row(self, name: str) -> BeforeAfter:
        """The row of this name."""
        return next(row for row in self.rows if row.name == name)

    @property
    def groups(self) -> tuple[BeforeAfter, ...]:
        """The rows of the groups."""
        return tuple(row for row in self.rows if row.name not in OVERALL)


def judge(
    labels: Bools,
    groups: NDArray[np.int64],
    names: Sequence[str],
    persons: NDArray[np.int64],
    before: Bools,
    after: Bools,
    *,
    known: bool,
    resamples: int,
    seed: int,
) -> HeadComparison:
    """Compare two heads.

    Args:
        labels: (N,), male; both occur.
        groups: (N,), group of each image.
        names: Names of the groups.
        persons: (N,), as from `clusters_of`.
        before: (N,), whether the old head decides each image for male.
        after: (N,), the same of the new one.
        known: Whether the persons are known.
        resamples: Number of bootstrap resamples.
        seed: Seed of the bootstrap.
    """
    there = [group for group in range(len(names)) if (groups == group).any()]
    sets = [np.ones(len(labels), dtype=np.bool_), labels, ~labels, *(groups == group for group in there)]
    titles = [*OVERALL, *(names[group] for group in there)]
    right = (before == labels, after == labels)
    columns = [_columns(sets, one) for one in right]
    found = paired_differences(Resampling(persons, resamples=resamples, seed=seed), columns[1], columns[0], _shares)
    values = [_shares(one.sum(axis=0, dtype=np.float64)) for one in columns]
    worst = [int(np.argmin(one[len(OVERALL) :])) for one in values]
    measures = [_measures(sets, one, persons, value, at) for one, value, at in zip(right, values, worst, strict=True)]
    members = [sets[0], sets[0], sets[1], sets[2], sets[_FIXED + worst[1]], *sets[_FIXED:]]
    rows = tuple(
        BeforeAfter(
            title,
            int(rows.sum()),
            persons_in(persons[rows]),
            first,
            second,
            Measure(difference.estimate, *difference.interval),
            difference.p if persons_in(persons[rows]) >= FEWEST_PERSONS else math.nan,
        )
        for title, rows, first, second, difference in zip(titles, members, *measures, found, strict=True)
    )
    return HeadComparison(
        len(labels),
        persons_in(persons) if known else None,
        rows if len(names) > 2 else rows[: OVERALL.index("worst_group")],
        mcnemar(*right),
        (names[there[worst[0]]], names[there[worst[1]]]),
    )


def _columns(sets: Sequence[Bools], right: Bools) -> NDArray[np.uint8]:
    """Members of each set, then those of them that are decided rightly, (N, 2 S)."""
    return np.stack([*sets, *(members & right for members in sets)], axis=1).astype(np.uint8)


def _shares(totals: Floats) -> Floats:
    """Totals (..., 2 S) to `OVERALL` and the accuracies of the groups, (..., 2 + S)."""
    half = totals.shape[-1] // 2
    shares = totals[..., half:] / totals[..., :half]
    parts = [shares[..., :1], shares[..., 1:_FIXED].mean(-1, keepdims=True), shares[..., 1:_FIXED]]
    # a resample without any image of a group says nothing about the worst
    return np.concatenate([*parts, shares[..., _FIXED:].min(-1, keepdims=True), shares[..., _FIXED:]], axis=-1)


def _measures(
    sets: Sequence[Bools], right: Bools, persons: NDArray[np.int64], values: Floats, worst: int
) -> list[Measure]:
    """`values` with their intervals; that of the worst group is the group's own."""
    like = DesignEffect.of(right, persons)
    intervals = [_interval(right[members], persons[members], like) for members in sets]
    recalls = intervals[1:_FIXED]
    both = combined(lambda one, two: (one + two) / 2, values[2:4].tolist(), recalls)
    ordered = [intervals[0], both, *recalls, intervals[_FIXED + worst], *intervals[_FIXED:]]
    return [Measure(float(value), *interval) for value, interval in zip(values, ordered, strict=True)]


def _interval(right: Bools, persons: NDArray[np.int64], like: DesignEffect | None) -> Interval:
    codes = np.unique(persons, return_inverse=True)[1]
    return proportion(right, codes, like=like) if len(right) else NOWHERE
