"""Every row on every slice of the images, and the slice that it does worst on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gender_lightning.comparison.result import SliceScore
from gender_lightning.comparison.runs.reading import RunResult
from gender_lightning.comparison.runs.rows import Row
from gender_lightning.evaluation.predictions import attributes_of
from gender_lightning.evaluation.statistics.intervals import Resampling
from gender_lightning.evaluation.statistics.proportions import FEWEST_PERSONS
from gender_lightning.evaluation.statistics.significance import holm, membership_tests
from gender_lightning.evaluation.subgroups.rules import SliceRule, slice_rules
from gender_lightning.evaluation.subgroups.slices import FEWEST_IMAGES, SIGNIFICANT


def rules_of(run: RunResult) -> tuple[list[SliceRule], list[int]]:
    """Slices by the attributes in the predictions table that have images; none where it has none (`data=folder`).

    Slices of measured properties (lighting, pose) are those of `evaluate`, which sees the pictures.

    Returns:
        The slices, and the images in each of all slices, those left out as empty too.
    """
    rules = slice_rules(run.labels, attributes_of(run.table), {})
    return [rule for rule in rules if rule.members.any()], [int(rule.members.sum()) for rule in rules]


def slices_of(row: Row, rules: Sequence[SliceRule], resampling: Resampling) -> tuple[SliceScore, ...]:
    """Accuracy on each slice, the mean over the runs of the row."""
    right = _share_right(row)
    found = []
    for rule in rules:
        images, people = int(rule.members.sum()), len(np.unique(resampling.groups[rule.members]))
        small = images < FEWEST_IMAGES or people < FEWEST_PERSONS
        found.append(SliceScore(rule.name, rule.group, images, float(right[rule.members].mean()), small))
    return tuple(found)


def worst_of(
    row: Row, rules: Sequence[SliceRule], slices: Sequence[SliceScore], resampling: Resampling
) -> SliceScore | None:
    """The lowest accuracy of those that are not small, as `evaluation.subgroups.slices.worst_slice` chooses it.

    Slices that are worse than their rest beyond chance come first: one is always the lowest.
    """
    judged = surely_worse(row, rules, slices, resampling) or [found for found in slices if not found.small]
    return min(judged, key=lambda found: found.accuracy, default=None)


def surely_worse(
    row: Row, rules: Sequence[SliceRule], slices: Sequence[SliceScore], resampling: Resampling
) -> list[SliceScore]:
    """Slices, small ones left out, that are worse than their rest beyond chance: 5 % over all together (Holm)."""
    if not rules:
        return []
    right = _share_right(row)
    first = {rule.test: place for place, rule in reversed(list(enumerate(rules)))}
    tested = list(first.values())
    members = np.stack([rules[place].members for place in tested], axis=1)
    population = np.stack([rules[place].population for place in tested], axis=1)
    adjusted = dict(zip(first, holm(membership_tests(right, members, resampling, population)), strict=True))
    return [
        found
        for rule, found in zip(rules, slices, strict=True)
        if not found.small and adjusted[rule.test] < SIGNIFICANT and found.accuracy < _rest(right, rule)
    ]


def _share_right(row: Row) -> NDArray[np.float64]:
    """Share of the row's runs that are right about each image, (N,)."""
    share: NDArray[np.float64] = np.mean([run.correct for run in row.runs], axis=0)
    return share


def _rest(right: NDArray[np.float64], rule: SliceRule) -> float:
    rest = rule.population & ~rule.members
    return float(right[rest].mean()) if rest.any() else 1.0
