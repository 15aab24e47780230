"""Metrics of decisions, each with an interval over persons: what `evaluate` and `compare` report."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gender_lightning.evaluation.metric_list import Metric, metrics_of
from gender_lightning.evaluation.metrics import confusion_columns
from gender_lightning.evaluation.statistics.intervals import Resampling
from gender_lightning.evaluation.statistics.proportions import NOWHERE, Floats, Interval, combined, proportion
from gender_lightning.evaluation.statistics.totals import decision_metrics

_JACCARD = ((0,), (0, 1, 3))  # of males and of what is called male: F1 rises with it


def decision_intervals(
    labels: ArrayLike, decided: ArrayLike, clusters: NDArray[np.int64]
) -> dict[str, tuple[float, Interval]]:
    """Value and interval of each metric of decisions, by name.

    Proportions have that of `proportions.proportion`; F1 has that of Jaccard's index, a proportion, of which it is a
    rising function; balanced accuracy and Matthews' correlation follow from both recalls (at the share of males that
    the images have), which are of different persons. Any other metric has
    that of a bootstrap over persons.

    Args:
        labels: (N,), 1 male, 0 female.
        decided: (N,), the same of the decision; or (R, N), those of several models, whose metrics are averaged.
        clusters: (N,), as from `clusters_of`.
    """
    runs = np.atleast_2d(np.asarray(decided))
    cells = np.stack([confusion_columns(labels, run) for run in runs])  # (R, N, 4)
    metrics = metrics_of("decision")
    means = decision_metrics(cells.sum(axis=1)).mean(axis=0).tolist()
    values = dict(zip((metric.name for metric in metrics), means, strict=True))
    found = {metric.name: _interval(cells, clusters, *metric.proportion) for metric in metrics if metric.proportion}
    low, high = _interval(cells, clusters, *_JACCARD)
    found["f1"] = Interval(2 * low / (1 + low), 2 * high / (1 + high))
    recalls = ("recall_male", "recall_female")
    shares, ends = [values[name] for name in recalls], [found[name] for name in recalls]
    found["balanced_accuracy"] = combined(lambda male, female: (male + female) / 2, shares, ends)
    found["mcc"] = _of_mcc(float(np.mean(np.asarray(labels))), values["mcc"], shares, ends)
    for metric in metrics:
        if metric.name not in found:
            found[metric.name] = _bootstrapped(cells.mean(axis=0), clusters, metric)
    return {metric.name: (values[metric.name], found[metric.name]) for metric in metrics}


def _interval(cells: Floats, clusters: NDArray[np.int64], hits: tuple[int, ...], whole: tuple[int, ...]) -> Interval:
    """Interval of a mean over runs; images that not every run counts (in a precision) count by the share of runs."""
    inside, right = cells[..., whole].sum(axis=(0, 2)), cells[..., hits].sum(axis=(0, 2))
    rows = inside > 0
    return proportion(right[rows] / inside[rows], clusters[rows])


def _bootstrapped(cells: Floats, clusters: NDArray[np.int64], metric: Metric) -> Interval:
    def one(totals: Floats) -> Floats:
        result: Floats = np.asarray(metric.formula(totals))[..., None]
        return result

    (interval,) = Resampling(clusters).bootstrap(cells, one).intervals()
    return interval


def _of_mcc(males: float, value: float, shares: list[float], ends: list[Interval]) -> Interval:
    def mcc(male: float, female: float) -> float:
        said = males * male + (1 - males) * (1 - female)
        varies = said * (1 - said)
        return (male + female - 1) * math.sqrt(males * (1 - males) / varies) if varies > 0 else 0.0

    low, high = combined(mcc, shares, ends)
    if math.isnan(value) or math.isnan(low):
        return NOWHERE
    return Interval(max(-1.0, low), min(1.0, high))
