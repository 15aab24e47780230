"""Whether a model serves everybody alike: gaps between groups, what a split could have shown, and the worst group.

Every rate is a recall: the share of a class that is called so. For a yes-no attribute the gap between those with and
those without it, within a class, is the difference of true positive rates (males) or, with its sign turned, of false
positive rates (females); the larger of both sizes is the equalised-odds difference (Hardt et al. 2016).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from gender_lightning.evaluation.measure import Measure, Number
from gender_lightning.evaluation.statistics.differences import proportion_difference
from gender_lightning.evaluation.statistics.intervals import Resampling
from gender_lightning.evaluation.statistics.proportions import (
    FEWEST_PERSONS,
    LEVEL,
    NOWHERE,
    DesignEffect,
    Floats,
    Interval,
    labelled_as_usual,
    per_person,
    persons_in,
    proportion,
)
from gender_lightning.evaluation.statistics.significance import holm, membership_tests

if TYPE_CHECKING:
    import pandas as pd

Flags = NDArray[np.bool_]
FEWEST_IMAGES = 50  # of a group that is judged
SIGNIFICANT = 0.05
POWER = 0.8  # of the smallest gap that could have been shown
DEFAULT_GROUPS = ("Young", "Heavy_Makeup")
MOST_ATTRIBUTES = 4  # in an intersection: 32 cells


@dataclass(frozen=True)
class Gap:
    """The difference of two rates.

    Attributes:
        value: First minus second, in [-1, 1]; nan where a side has no image.
        low: Lower end of its interval over persons; nan with too few of them.
        high: Upper end.
        detectable: Smallest true gap that such a split would show as different from 0 in four of five draws.
        p_holm: P of no gap, adjusted for all gaps of the attributes; nan where it was not tested.
    """

    value: Number
    low: Number
    high: Number
    detectable: Number
    p_holm: Number = math.nan

    @property
    def measure(self) -> Measure:
        """Value and interval."""
        return Measure(self.value, self.low, self.high)

    @property
    def shown(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class AttributeGap:
    """An attribute: recall with it minus recall without it, in each class.

    Attributes:
        attribute: Its name.
        images: Number of images with it.
        male: Gap of the males' recall.
        female: Gap of the females' recall.
        equalized_odds: The larger of the two in size, with an interval; never negative, so that chance alone makes it
            positive. Nan where a side has no image.
        judged: Whether each side of each class has images and persons enough. A gap in one class alone may have an
            interval where the other has not.
    """

    attribute: str
    images: int
    male: Gap
    female: Gap
    equalized_odds: Measure
    judged: bool

    @property
    def size(self) -> float:
        """The larger of those gaps that have an interval, in size; nan where neither has."""
        known = [abs(gap.value) for gap in (self.male, self.female) if not math.isnan(gap.low)]
        return max(known, default=math.nan)


@dataclass(frozen=True)
class GroupScore:
    """A cell of label and attributes.

    Attributes:
        name: Label and attributes, as in `female Young=0 Heavy_Makeup=1`.
        images: Number.
        persons: Number of identities, of images where they are unknown.
        accuracy: Share of the images that are right: the recall of the class within the group.
        per_person: The same, every person counting once, without images labelled unlike most of their person's: nobody
            is in a cell of each class by a slip of the annotators.
        judged: Whether it has images and persons enough.
        p_holm: P of being as accurate as the rest of its class, adjusted for all cells listed with it; nan where it
            was not tested.
    """

    name: str
    images: int
    persons: int
    accuracy: Measure
    per_person: Measure
    judged: bool
    p_holm: Number = math.nan


@dataclass(frozen=True)
class Fairness:
    """What an evaluation says about fairness; all at the threshold 0.5.

    Attributes:
        recall_gap: Recall of males minus recall of females.
        per_person: `accuracy`, `recall_male` and `recall_female`, where each person counts once, however many images
            there are of them; recalls leave out images labelled unlike most of their person's.
        attributes: Gaps by attribute, the largest first, those without an interval last.
        worst_group: The cell of the label and one attribute with the lowest accuracy of those that can be judged.
        group_attributes: Attributes of the intersections.
        groups: Cells of the label and all of these attributes, in a fixed order.
        pale_skin: Number of images with CelebA's Pale_Skin; None where the data lack it.
    """

    recall_gap: Gap
    per_person: dict[str, Measure]
    attributes: list[AttributeGap]
    worst_group: GroupScore | None
    group_attributes: list[str]
    groups: list[GroupScore]
    pale_skin: int | None

    @property
    def largest(self) -> AttributeGap | None:
        """The attribute with the largest equalised-odds difference of those that can be judged."""
        judged = [gap for gap in self.attributes if gap.judged]
        return max(judged, key=lambda gap: gap.equalized_odds.value, default=None)


@dataclass(frozen=True)
class Decisions:
    """A split with what was decided.

    Attributes:
        male: (N,), the labels.
        right: (N,) float64, whether each image was decided rightly, or the share of several models that were right.
        clusters: (N,), as from `clusters_of`.
        attributes: Each (N,), by name.
    """

    male: Flags
    right: Floats
    clusters: NDArray[np.int64]
    attributes: Mapping[str, Flags]

    @classmethod
    def of(
        cls, labels: ArrayLike, right: ArrayLike, clusters: NDArray[np.int64], attributes: Mapping[str, Flags]
    ) -> Decisions:
        """Make it of arrays of any type."""
        return cls(np.asarray(labels).astype(np.bool_), np.asarray(right, np.float64), clusters, attributes)


def measure_fairness(
    split: Decisions, resampling: Resampling, groups: Sequence[str] | None = None, *, level: float = LEVEL
) -> Fairness:
    """Measure everything.

    Args:
        split: Labels, decisions, persons and attributes.
        resampling: Draws of the same persons.
        groups: Attributes of the intersections, at most four, all in `split`; None takes those of `DEFAULT_GROUPS` that
            the data have.
        level: Coverage of the intervals.
    """
    chosen = (
        [name for name in DEFAULT_GROUPS if name in split.attributes] if groups is None else list(dict.fromkeys(groups))
    )
    assert len(chosen) <= MOST_ATTRIBUTES and set(chosen) <= set(split.attributes), chosen
    everyone = np.ones(len(split.male), dtype=np.bool_)
    usual = labelled_as_usual(split.male, split.clusters)
    parts = {"accuracy": everyone, "recall_male": split.male & usual, "recall_female": ~split.male & usual}
    pale = split.attributes.get("Pale_Skin")
    return Fairness(
        recall_gap=recall_gap(split, level),
        per_person={name: _per_person(split, rows, level) for name, rows in parts.items()},
        attributes=attribute_gaps(split, resampling, level),
        worst_group=worst_group(split, level),
        group_attributes=chosen,
        groups=intersections(split, resampling, chosen, level) if chosen else [],
        pale_skin=None if pale is None else int(pale.sum()),
    )


def recall_gap(split: Decisions, level: float = LEVEL) -> Gap:
    """Recall of males minus recall of females."""
    return _gap(*proportion_difference(split.right, split.clusters, split.male, ~split.male, level=level), level)


def attribute_gaps(split: Decisions, resampling: Resampling | None, level: float = LEVEL) -> list[AttributeGap]:
    """Gaps of every attribute, the largest first, those without an interval last; untested without a resampling."""
    found = [_attribute_gap(split, name, level) for name in split.attributes]
    if resampling is not None:
        found = _tested(split, resampling, found)
    return sorted(found, key=lambda gap: -np.nan_to_num(gap.size, nan=-1.0))


def worst_group(split: Decisions, level: float = LEVEL) -> GroupScore | None:
    """The cell of the label and one attribute with the lowest accuracy of those that can be judged."""
    cells = (cell for name in split.attributes for cell in _cells(split, [name]))
    judged = [(float(split.right[rows].mean()), name, rows) for name, rows in cells if _is_large(split, rows)]
    if not judged:
        return None
    _, name, rows = min(judged, key=lambda cell: cell[:2])
    return _group_score(split, name, rows, level)


def intersections(
    split: Decisions, resampling: Resampling, attributes: Sequence[str], level: float = LEVEL
) -> list[GroupScore]:
    """Every cell of the label and the attributes, each tested against the rest of its class."""
    cells = list(_cells(split, attributes))
    scores = [_group_score(split, name, rows, level) for name, rows in cells]
    tested = [place for place, score in enumerate(scores) if score.judged]
    p_values = _p_values(split, resampling, [cells[place][1] for place in tested])
    for place, p in zip(tested, p_values, strict=True):
        scores[place] = replace(scores[place], p_holm=p)
    return scores


def fairness_table(fairness: Fairness) -> pd.DataFrame:
    """One row per attribute, for `fairness.csv`."""
    import pandas as pd

    rows = []
    for gap in fairness.attributes:
        row: dict[str, object] = {"attribute": gap.attribute, "images": gap.images, "judged": gap.judged}
        for name, found in (("gap_male", gap.male), ("gap_female", gap.female)):
            row |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
            row |= {f"{name}_detectable": found.detectable, f"{name}_p_holm": found.p_holm}
        odds = gap.equalized_odds
        row |= {"equalized_odds": odds.value, "equalized_odds_low": odds.low, "equalized_odds_high": odds.high}
        rows.append({key: float(f"{v:.6g}") if isinstance(v, float) else v for key, v in row.items()})
    return pd.DataFrame(rows)


def _attribute_gap(split: Decisions, name: str, level: float) -> AttributeGap:
    has = np.asarray(split.attributes[name], dtype=np.bool_)
    sides = [(split.male & has, split.male & ~has), (~split.male & has, ~split.male & ~has)]
    judged = all(_is_large(split, rows) for pair in sides for rows in pair)
    gaps, wide = [], []
    for population, (one, other) in zip((split.male, ~split.male), sides, strict=True):
        like = DesignEffect.of(split.right[population], split.clusters[population])
        value, interval = proportion_difference(split.right, split.clusters, one, other, level=level, like=like)
        large = _is_large(split, one) and _is_large(split, other)
        gaps.append(_gap(value, interval if large else NOWHERE, level))
        # both at once, each at half the error: so is the larger of them
        wide.append(proportion_difference(split.right, split.clusters, one, other, level=(1 + level) / 2, like=like)[1])
    male, female = gaps
    return AttributeGap(name, int(has.sum()), male, female, _equalized_odds(male, female, wide, judged), judged)


def _equalized_odds(male: Gap, female: Gap, intervals: Sequence[Interval], judged: bool) -> Measure:
    value = max(abs(male.value), abs(female.value)) if not math.isnan(male.value + female.value) else math.nan
    if not judged or any(math.isnan(interval.low) for interval in intervals):
        return Measure(value, *NOWHERE)
    low = max(max(0.0, interval.low, -interval.high) for interval in intervals)
    high = max(max(abs(interval.low), abs(interval.high)) for interval in intervals)
    return Measure(value, low, high)


def _tested(split: Decisions, resampling: Resampling, found: list[AttributeGap]) -> list[AttributeGap]:
    """Add p values, adjusted for all gaps that have an interval."""
    tests = [
        (place, word, (split.male if word == "male" else ~split.male), split.attributes[gap.attribute])
        for place, gap in enumerate(found)
        for word in ("male", "female")
        if not math.isnan(getattr(gap, word).low)
    ]
    p_values = _p_values(split, resampling, [inside & has for *_, inside, has in tests], [test[2] for test in tests])
    for (place, word, *_), p in zip(tests, p_values, strict=True):
        changed = replace(getattr(found[place], word), p_holm=p)
        found[place] = replace(found[place], **{word: changed})
    return found


def _p_values(
    split: Decisions, resampling: Resampling, members: Sequence[Flags], within: Sequence[Flags] | None = None
) -> list[float]:
    """Adjusted for all of them; each set is compared within its own class."""
    if not members:
        return []
    if within is None:
        within = [split.male if split.male[rows].all() else ~split.male for rows in members]
    tests = membership_tests(split.right, np.stack(members, axis=1), resampling, np.stack(within, axis=1))
    return [float(p) for p in holm(tests)]


def _cells(split: Decisions, attributes: Sequence[str]) -> Iterator[tuple[str, Flags]]:
    """Names and members of all cells of the label and the attributes."""
    for word, inside in (("male", split.male), ("female", ~split.male)):
        for values in itertools.product((0, 1), repeat=len(attributes)):
            rows = inside.copy()
            for name, value in zip(attributes, values, strict=True):
                rows &= split.attributes[name] == bool(value)
            yield " ".join([word, *(f"{name}={value}" for name, value in zip(attributes, values, strict=True))]), rows


def _group_score(split: Decisions, name: str, rows: Flags, level: float) -> GroupScore:
    right, clusters = split.right[rows], split.clusters[rows]
    inside = split.male if name.startswith("male") else ~split.male
    like = DesignEffect.of(split.right[inside], split.clusters[inside])
    accuracy = Measure(math.nan, *NOWHERE)
    if len(right):
        accuracy = Measure(float(right.mean()), *proportion(right, clusters, level=level, like=like))
    return GroupScore(
        name,
        len(right),
        persons_in(clusters),
        accuracy,
        _per_person(split, rows & labelled_as_usual(split.male, split.clusters), level),
        _is_large(split, rows),
    )


def _per_person(split: Decisions, rows: Flags, level: float) -> Measure:
    value, interval = per_person(split.right[rows], split.clusters[rows], level)
    return Measure(value, *interval)


def _is_large(split: Decisions, rows: Flags) -> bool:
    return int(rows.sum()) >= FEWEST_IMAGES and persons_in(split.clusters[rows]) >= FEWEST_PERSONS


def _gap(value: float, interval: Interval, level: float) -> Gap:
    normal = float(special.ndtri((1 + level) / 2))
    detectable = (interval.high - interval.low) / (2 * normal) * (normal + float(special.ndtri(POWER)))
    return Gap(value, *interval, detectable)
