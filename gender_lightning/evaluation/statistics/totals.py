"""Metrics as functions of totals over images, which is what a bootstrap of many resamples needs.

Every function of totals takes any leading axes, so that 10,000 resamples are one call.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gender_lightning.evaluation.metric_list import metrics_of
from gender_lightning.evaluation.statistics.proportions import Floats

_BINS = 256  # of a histogram of scores


@dataclass(frozen=True)
class MetricColumns:
    """Columns per image, and the metrics of their totals.

    Attributes:
        names: Names of the M metrics.
        columns: (N, K), numbers of any type.
        metric: Totals (..., K) to metrics (..., M).
    """

    names: tuple[str, ...]
    columns: NDArray[Any]
    metric: Callable[[Floats], Floats]


def decision_metrics(totals: Floats) -> Floats:
    """The metrics of decisions (..., M), in the order of the list, of a confusion matrix (..., 4)."""
    return np.stack([metric.formula(totals) for metric in metrics_of("decision")], axis=-1)


def ranking_columns(labels: ArrayLike, scores: ArrayLike) -> MetricColumns:
    """The ranking metrics that have a form for histograms, from one of each class over runs of the sorted scores.

    AUROC needs to know only which males lie between which females, so runs of one class are put together; where
    there are more than `_BINS` runs, neighbours are, and the small error that this makes for the images as they are
    is taken off from every resample.
    """
    male = np.asarray(labels).astype(np.bool_)
    values = np.asarray(scores, dtype=np.float64)
    bins, number = _runs(male, values)
    columns = np.zeros((len(male), 2 * number), dtype=np.uint8)
    columns[np.arange(len(male)), bins + number * male] = 1
    ranking = [(metric, metric.histogram) for metric in metrics_of("ranking") if metric.histogram is not None]
    exact = np.array([metric.formula(male, values) for metric, _ in ranking])

    def of_histograms(totals: Floats) -> Floats:
        return np.stack([histogram(totals) for _, histogram in ranking], axis=-1)

    with np.errstate(divide="ignore", invalid="ignore"):
        shift = exact - of_histograms(columns.sum(axis=0, dtype=np.float64))
    names = tuple(metric.name for metric, _ in ranking)
    return MetricColumns(names, columns, lambda totals: np.clip(of_histograms(totals) + shift, 0.0, 1.0))


def loss_columns(labels: ArrayLike, *logits: ArrayLike) -> MetricColumns:
    """The losses, means over images, each the less the better.

    Args:
        labels: (N,), 1 male, 0 female.
        logits: (N,) each; of several, such as before and after the temperature, the metrics of the first come first,
            and those of the others by the same names.
    """
    male, losses = np.asarray(labels).astype(np.bool_), metrics_of("loss")
    columns = [metric.formula(male, np.asarray(one, dtype=np.float64)) for one in logits for metric in losses]
    columns.append(np.ones(len(male)))
    names = tuple(metric.name for metric in losses) * len(logits)
    return MetricColumns(names, np.stack(columns, axis=1), lambda totals: totals[..., :-1] / totals[..., -1:])


def _runs(male: NDArray[np.bool_], scores: Floats) -> tuple[NDArray[np.intp], int]:
    """Bin of each image, (N,), rising with the score; equal scores share one. And the number of bins."""
    levels, place = np.unique(scores, return_inverse=True)
    males = np.bincount(place, male, minlength=len(levels))
    females = np.bincount(place, ~male, minlength=len(levels))
    kind = np.where(females == 0, 1, np.where(males == 0, 0, 2))
    new = np.r_[False, (kind[1:] != kind[:-1]) | (kind[1:] == 2)]
    run = np.cumsum(new)
    number = int(run[-1]) + 1
    if number > _BINS:
        # finer at the top, where precision jumps from image to image
        depth = np.sqrt((number - 1 - run) / number)
        run = np.unique(-np.floor(depth * _BINS), return_inverse=True)[1]
        number = int(run[-1]) + 1
    return run[place].astype(np.intp), number
