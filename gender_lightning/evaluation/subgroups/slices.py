"""Accuracy in subgroups of a split: how sure, how different from the rest, and which is the worst."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gender_lightning.evaluation.measure import Measure
from gender_lightning.evaluation.results import GROUPS, Slice, Worst
from gender_lightning.evaluation.statistics.differences import proportion_difference
from gender_lightning.evaluation.statistics.intervals import Resampling
from gender_lightning.evaluation.statistics.proportions import (
    FEWEST_PERSONS,
    DesignEffect,
    Floats,
    persons_in,
    proportion,
    wilson,
)
from gender_lightning.evaluation.statistics.significance import holm, membership_tests
from gender_lightning.evaluation.subgroups.rules import Flags, SliceRule

if TYPE_CHECKING:
    import pandas as pd

FEWEST_IMAGES = 50  # below, a slice is marked small
SIGNIFICANT = 0.05


def measure_slices(
    labels: ArrayLike,
    decided: ArrayLike,
    clusters: NDArray[np.int64],
    rules: Sequence[SliceRule],
    resampling: Resampling,
) -> list[Slice]:
    """Measure every subgroup.

    Args:
        labels: (N,), 1 male, 0 female.
        decided: (N,), the same of the decision.
        clusters: (N,), which images are of one person.
        rules: Subgroups of these images.
        resampling: Draws of the same clusters.

    Returns:
        By group, in the order of `rules`.
    """
    male = np.asarray(labels).astype(np.bool_)
    correct = np.asarray(decided).astype(np.bool_) == male
    differences = [_difference(correct, clusters, rule) for rule in rules]
    p, p_holm = _tests(correct, rules, resampling)
    wholes = [_Whole(rows, DesignEffect.of(correct[rows], clusters[rows])) for rows in (male | ~male, male, ~male)]
    rests = [correct[rule.population & ~rule.members] for rule in rules]
    measured = [
        _measure(
            rule,
            [_proportion(correct, clusters, rule.members, whole) for whole in wholes],
            float(rest.mean()) if len(rest) else math.nan,
            *compared,
            rest_small=_is_small(rule.population & ~rule.members, clusters),
        )
        for rule, rest, *compared in zip(rules, rests, differences, p.tolist(), p_holm.tolist(), strict=True)
    ]
    return sorted(measured, key=lambda found: GROUPS.index(found.group))


def worst_slice(slices: Sequence[Slice]) -> Worst | None:
    """The lowest accuracy of those that are not small.

    Of many slices one is always the lowest, by chance alone: those that are worse than their rest with a Holm-adjusted
    p below 5 % come first, and only where there is none the lowest of all is named, as not significant.
    """
    judged = [found for found in slices if not found.small]
    sure = [found for found in judged if found.difference.value < 0 and found.p_holm < SIGNIFICANT]
    candidates = sure or judged
    if not candidates:
        return None
    return Worst(min(candidates, key=lambda found: found.accuracy.value).name, bool(sure))


def slices_table(slices: Sequence[Slice]) -> pd.DataFrame:
    """One row per slice, for `slices.csv`; intervals as `..._low` and `..._high`, small ones marked."""
    import pandas as pd

    rows = []
    for found in slices:
        row: dict[str, object] = {"group": found.group, "slice": found.name, "rule": found.rule}
        row |= {"images": found.images, "persons": found.persons, "males": found.males}
        row |= {"females": found.images - found.males, "small": found.small}
        for name in ("accuracy", "recall_male", "recall_female"):
            row |= _columns(name, getattr(found, name))
        row |= {"rest": found.rest, "rest_accuracy": _rounded(found.rest_accuracy)}
        row |= _columns("difference", found.difference) | {"p": _rounded(found.p), "p_holm": _rounded(found.p_holm)}
        rows.append(row)
    return pd.DataFrame(rows)


def _columns(name: str, measure: Measure) -> dict[str, object]:
    ends = {"": measure.value, "_low": measure.low, "_high": measure.high}
    return {f"{name}{end}": _rounded(value) for end, value in ends.items()}


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


@dataclass(frozen=True)
class _Whole:
    """All images, or those of a class; and by how much persons inflate the variance of their accuracy."""

    rows: Flags
    effect: DesignEffect | None


@dataclass(frozen=True)
class _Proportion:
    """Right decisions among the images of a slice."""

    measure: Measure
    images: int
    persons: int


def _is_small(rows: Flags, clusters: NDArray[np.int64]) -> bool:
    return int(rows.sum()) < FEWEST_IMAGES or persons_in(clusters[rows]) < FEWEST_PERSONS


def _measure(
    rule: SliceRule,
    proportions: list[_Proportion],
    rest_accuracy: float,
    difference: Measure,
    p: float,
    p_holm: float,
    *,
    rest_small: bool,
) -> Slice:
    whole, males, females = proportions
    return Slice(
        name=rule.name,
        group=rule.group,
        rule=rule.rule,
        rest=rule.rest,
        images=whole.images,
        persons=whole.persons,
        males=males.images,
        small=whole.images < FEWEST_IMAGES or whole.persons < FEWEST_PERSONS,
        accuracy=whole.measure,
        recall_male=males.measure,
        recall_female=females.measure,
        rest_accuracy=rest_accuracy,
        difference=difference,
        p=p,
        p_holm=p_holm,
        rest_small=rest_small,
    )


def _proportion(correct: Flags, clusters: NDArray[np.int64], members: Flags, whole: _Whole) -> _Proportion:
    rows = members & whole.rows
    images = int(rows.sum())
    if not images:
        return _Proportion(Measure(math.nan, math.nan, math.nan), 0, 0)
    hits, persons = correct[rows], clusters[rows]
    interval = proportion(hits, persons, like=whole.effect)
    measure = Measure(float(hits.mean()), *interval, *wilson(int(hits.sum()), images))
    return _Proportion(measure, images, persons_in(persons))


def _difference(correct: Flags, clusters: NDArray[np.int64], rule: SliceRule) -> Measure:
    """Accuracy of the slice minus that of its rest."""
    effect = DesignEffect.of(correct[rule.population], clusters[rule.population])
    rest = rule.population & ~rule.members
    value, interval = proportion_difference(correct.astype(np.float64), clusters, rule.members, rest, like=effect)
    return Measure(value, *interval)


def _tests(correct: Flags, rules: Sequence[SliceRule], resampling: Resampling) -> tuple[Floats, Floats]:
    """P values, and those adjusted for their number, in which slices that share a test count once."""
    first = {rule.test: i for i, rule in reversed(list(enumerate(rules)))}
    tested = list(first.values())
    if not tested:
        return np.zeros(0), np.zeros(0)
    members = np.stack([rules[i].members for i in tested], axis=1)
    population = np.stack([rules[i].population for i in tested], axis=1)
    p = membership_tests(correct, members, resampling, population)
    place = {test: i for i, test in enumerate(first)}
    where = [place[rule.test] for rule in rules]
    return p[where], holm(p)[where]
