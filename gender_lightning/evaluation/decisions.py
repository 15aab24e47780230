"""Metrics of decisions, each with an interval over persons: what `evaluate` and `compare` both report."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gender_lightning.evaluation.statistics.proportions import NOWHERE, Floats, Interval, combined, proportion
from gender_lightning.evaluation.statistics.tallies import DECISION_METRICS, decision_columns, decision_metrics

# which cells of `decision_columns` are the hits and the whole of a proportion
PROPORTIONS = {
    "accuracy": ((0, 2), (0, 1, 2, 3)),
    "recall_male": ((0,), (0, 1)),
    "recall_female": ((2,), (2, 3)),
    "precision_male": ((0,), (0, 3)),
    "precision_female": ((2,), (1, 2)),
}
_JACCARD = ((0,), (0, 1, 3))  # of males and of what is called male: F1 rises with it


def decision_intervals(
    labels: ArrayLike, decided: ArrayLike, clusters: NDArray[np.int64]
) -> dict[str, tuple[float, Interval]]:
    """Value and interval of each of `DECISION_METRICS`, by name.

    Proportions have that of `proportions.proportion`; F1 has that of Jaccard's index, a proportion, of which it is a
    rising function; balanced accuracy and Matthews' correlation follow from both recalls (at the share of males that
    the images have), which are of different persons.

    Args:
        labels: (N,), 1 male, 0 female.
        decided: (N,), the same of the decision; or (R, N), those of several models, whose metrics are averaged.
        clusters: (N,), as from `clusters_of`.
    """
    runs = np.atleast_2d(np.asarray(decided))
    cells = np.stack([decision_columns(labels, run) for run in runs])  # (R, N, 4)
    values = dict(zip(DECISION_METRICS, decision_metrics(cells.sum(axis=1)).mean(axis=0).tolist(), strict=True))
    found = {name: _interval(cells, clusters, hits, whole) for name, (hits, whole) in PROPORTIONS.items()}
    low, high = _interval(cells, clusters, *_JACCARD)
    found["f1"] = Interval(2 * low / (1 + low), 2 * high / (1 + high))
    recalls = ("recall_male", "recall_female")
    shares, ends = [values[name] for name in recalls], [found[name] for name in recalls]
    found["balanced_accuracy"] = combined(lambda male, female: (male + female) / 2, shares, ends)
    found["mcc"] = _of_mcc(float(np.mean(np.asarray(labels))), values["mcc"], shares, ends)
    return {name: (values[name], found[name]) for name in DECISION_METRICS}


def _interval(cells: Floats, clusters: NDArray[np.int64], hits: tuple[int, ...], whole: tuple[int, ...]) -> Interval:
    """Of a mean over runs; images that not every run counts (as of a precision) count by the share of runs."""
    inside, right = cells[..., whole].sum(axis=(0, 2)), cells[..., hits].sum(axis=(0, 2))
    rows = inside > 0
    return proportion(right[rows] / inside[rows], clusters[rows])


def _of_mcc(males: float, value: float, shares: list[float], ends: list[Interval]) -> Interval:
    def mcc(male: float, female: float) -> float:
        said = males * male + (1 - males) * (1 - female)
        varies = said * (1 - said)
        return (male + female - 1) * math.sqrt(males * (1 - males) / varies) if varies > 0 else 0.0

    low, high = combined(mcc, shares, ends)
    if math.isnan(value) or math.isnan(low):
        return NOWHERE
    return Interval(max(-1.0, low), min(1.0, high))
