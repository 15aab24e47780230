"""The difference of two proportions whose images are of people, some of whom have images on both sides."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gender_lightning.evaluation.statistics.proportions import (
    LEVEL,
    NOWHERE,
    DesignEffect,
    Floats,
    Interval,
    proportion,
)


def proportion_difference(
    correct: Floats,
    clusters: NDArray[np.int64],
    first: NDArray[np.bool_],
    second: NDArray[np.bool_],
    *,
    level: float = LEVEL,
    like: DesignEffect | None = None,
) -> tuple[float, Interval]:
    """Share of right images in one set minus that in another, and its interval over persons.

    The interval follows from those of both proportions (Newcombe 1998, method 10), less what the two have in common
    where the same persons have images in both (MOVER with a correlation: Zou and Donner 2008); the correlation is that
    of the persons' residuals. Simulated coverage at 95 % is 0.93 or more from 30 persons on, for accuracies of 0.9 to
    0.98 and intra-class correlations up to 0.3.

    Args:
        correct: (N,), 0 or 1, or the share of several models that are right.
        clusters: (N,), as from `clusters_of`.
        first: (N,), the images of one set.
        second: (N,), those of the other; disjoint.
        level: Coverage that is wanted.
        like: See `proportions.effective_size`.

    Returns:
        The difference, nan where a set is empty; the interval is nowhere with too few persons on either side.
    """
    if not first.any() or not second.any():
        return math.nan, NOWHERE
    shares = [float(correct[rows].mean()) for rows in (first, second)]
    ends = [proportion(correct[rows], clusters[rows], level=level, like=like) for rows in (first, second)]
    value = shares[0] - shares[1]
    if any(math.isnan(end.low) for end in ends):
        return value, NOWHERE
    shared = _correlation(correct, clusters, first, second)
    low = _joined(shares[0] - ends[0].low, ends[1].high - shares[1], shared)
    high = _joined(ends[0].high - shares[0], shares[1] - ends[1].low, shared)
    return value, Interval(value - low, value + high)


def _joined(one: float, other: float, correlation: float) -> float:
    return math.sqrt(max(0.0, one**2 + other**2 - 2 * correlation * one * other))


def _correlation(
    correct: Floats, clusters: NDArray[np.int64], first: NDArray[np.bool_], second: NDArray[np.bool_]
) -> float:
    """Correlation of the two shares over persons, in [-1, 1]; 0 where no person is in both, or nothing varies."""
    number = int(clusters.max()) + 1
    residuals = [
        np.bincount(clusters[rows], correct[rows] - correct[rows].mean(), minlength=number) for rows in (first, second)
    ]
    scale = math.sqrt(float((residuals[0] ** 2).sum()) * float((residuals[1] ** 2).sum()))
    return float(residuals[0] @ residuals[1]) / scale if scale > 1e-12 else 0.0
