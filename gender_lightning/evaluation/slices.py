"""Accuracy in subgroups of a split: how sure, how different from the rest, and which is the worst."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gender_lightning.evaluation.rules import Flags, SliceRule
from gender_lightning.evaluation.statistics.intervals import Resampling
from gender_lightning.evaluation.statistics.proportions import (
    FEWEST_PERSONS,
    NOWHERE,
    DesignEffect,
    Floats,
    persons_in,
    proportion,
    wilson,
)
from gender_lightning.evaluation.statistics.significance import holm, membership_tests
from gender_lightning.evaluation.summary import GROUPS, Measure, Slice, Worst

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
        resampling: Of the same clusters.

    Returns:
        By group, in the order of `rules`.
    """
    male = np.asarray(labels).astype(np.bool_)
    correct = np.asarray(decided).astype(np.bool_) == male
    differences = [
        _newcombe(correct, clusters, rule) if certain else difference
        for rule, certain, difference in zip(
            rules, [_is_certain(correct, rule) for rule in rules], _differences(correct, rules, resampling), strict=True
        )
    ]
    p, p_holm = _tests(correct, rules, resampling)
    wholes = [_Whole(rows, DesignEffect.of(correct[rows], clusters[rows])) for rows in (male | ~male, male, ~male)]
    rests = [correct[rule.population & ~rule.members] for rule in rules]
    measured = [
        _measure(
            rule,
            [_proportion(correct, clusters, rule.members, whole) for whole in wholes],
            float(rest.mean()) if len(rest) else math.nan,
            *compared,
        )
        for rule, rest, *compared in zip(rules, rests, differences, p.tolist(), p_holm.tolist(), strict=True)
    ]
    return sorted(measured, key=lambda it: GROUPS.index(it.group))


def worst_slice(slices: Sequence[Slice]) -> Worst | None:
    """The lowest accuracy of those that are not small.

    Of many slices one is always the lowest, by chance alone: those that are worse than their rest with a Holm-adjusted
    p below 5 % come first, and only where there is none the lowest of all is named, as not significant.
    """
    judged = [it for it in slices if not it.small]
    sure = [it for it in judged if it.difference.value < 0 and it.p_holm < SIGNIFICANT]
    candidates = sure or judged
    if not candidates:
        return None
    return Worst(min(candidates, key=lambda it: it.accuracy.value).name, bool(sure))


def slices_table(slices: Sequence[Slice]) -> pd.DataFrame:
    """One row per slice, for `slices.csv`; intervals as `..._low` and `..._high`, small ones marked."""
    import pandas as pd

    rows = []
    for it in slices:
        row: dict[str, object] = {"group": it.group, "slice": it.name, "rule": it.rule, "images": it.images}
        row |= {"persons": it.persons, "males": it.males, "females": it.images - it.males, "small": it.small}
        for name in ("accuracy", "recall_male", "recall_female"):
            row |= _columns(name, getattr(it, name))
        row |= {"rest": it.rest, "rest_accuracy": _rounded(it.rest_accuracy)}
        row |= _columns("difference", it.difference) | {"p": _rounded(it.p), "p_holm": _rounded(it.p_holm)}
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


def _measure(
    rule: SliceRule, proportions: list[_Proportion], rest_accuracy: float, difference: Measure, p: float, p_holm: float
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


def _differences(correct: Flags, rules: Sequence[SliceRule], resampling: Resampling) -> list[Measure]:
    """Accuracy of each slice minus that of its rest, all on the same resamples."""
    if not rules:
        return []
    columns = np.empty((len(correct), 4 * len(rules)), dtype=np.uint8)
    for i, rule in enumerate(rules):
        rest = rule.population & ~rule.members
        columns[:, 4 * i : 4 * i + 4] = np.stack([rule.members & correct, rule.members, rest & correct, rest], axis=1)

    def metric(totals: Floats) -> Floats:
        hits, images, rest_hits, rest_images = np.moveaxis(totals.reshape(*totals.shape[:-1], -1, 4), -1, 0)
        differences: Floats = hits / images - rest_hits / rest_images
        return differences

    boot = resampling.bootstrap(columns, metric)
    return [Measure(float(value), *ends) for value, ends in zip(boot.estimate, boot.intervals(), strict=True)]


def _is_certain(correct: Flags, rule: SliceRule) -> bool:
    """Whether all images of the slice or of its rest are right, or all wrong: a bootstrap then sees no variation."""
    parts = [correct[rule.members], correct[rule.population & ~rule.members]]
    return all(len(part) for part in parts) and any(part.all() or not part.any() for part in parts)


def _newcombe(correct: Flags, clusters: NDArray[np.int64], rule: SliceRule) -> Measure:
    """Difference with the interval that follows from both proportions' (Newcombe 1998, method 10)."""
    rest = rule.population & ~rule.members
    effect = DesignEffect.of(correct[rule.population], clusters[rule.population])
    shares = [float(correct[rows].mean()) for rows in (rule.members, rest)]
    ends = [proportion(correct[rows], clusters[rows], like=effect) for rows in (rule.members, rest)]
    value = shares[0] - shares[1]
    if any(math.isnan(it.low) for it in ends):
        return Measure(value, *NOWHERE)
    low = value - math.hypot(shares[0] - ends[0].low, ends[1].high - shares[1])
    high = value + math.hypot(ends[0].high - shares[0], shares[1] - ends[1].low)
    return Measure(value, low, high)


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
