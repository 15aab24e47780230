"""Fairness of every row, side by side: gap between the classes, accuracy per person, worst group, largest gap."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from gender_lightning.comparison.runs.rows import Row
from gender_lightning.evaluation.measure import Measure
from gender_lightning.evaluation.predictions import attributes_of
from gender_lightning.evaluation.statistics.intervals import clusters_of
from gender_lightning.evaluation.statistics.proportions import per_person
from gender_lightning.evaluation.subgroups.fairness import (
    AttributeGap,
    Decisions,
    Gap,
    GroupScore,
    attribute_gaps,
    recall_gap,
    worst_group,
)


@dataclass(frozen=True)
class RowFairness:
    """What a row says about fairness, the mean over its runs; decisions at 0.5, intervals over people.

    Attributes:
        recall_gap: Recall of males minus recall of females.
        per_person: Accuracy where every person counts once.
        worst_group: The cell of the label and one attribute with the lowest accuracy of those that can be judged.
        largest_gap: The attribute with the largest equalised-odds difference of those that can be judged.
    """

    recall_gap: Gap
    per_person: Measure
    worst_group: GroupScore | None
    largest_gap: AttributeGap | None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def fairness_of(row: Row) -> RowFairness:
    """Measure a row on the images that all rows share."""
    first = row.runs[0]
    right = np.mean([run.correct for run in row.runs], axis=0)
    clusters = clusters_of(first.table["identity"], len(first.table))
    split = Decisions.of(first.labels, right, clusters, attributes_of(first.table))
    value, interval = per_person(right, clusters)
    judged = [gap for gap in attribute_gaps(split, None) if gap.judged]
    return RowFairness(
        recall_gap=recall_gap(split),
        per_person=Measure(value, *interval),
        worst_group=worst_group(split),
        largest_gap=max(judged, key=lambda gap: gap.equalized_odds.value, default=None),
    )
