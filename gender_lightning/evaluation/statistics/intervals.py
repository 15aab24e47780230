"""How sure a number is that is not a proportion: a bootstrap that resamples persons instead of images."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from gender_lightning.evaluation.statistics.proportions import FEWEST_PERSONS, LEVEL, NOWHERE, Floats, Interval

Metric = Callable[[Floats], Floats]  # totals (..., K) to metrics (..., M)
RESAMPLES = 10_000
MAX_GROUPS = 2_000
_BLOCK_ITEMS = 4_000_000  # of a block of weights: bounds the memory


def clusters_of(identities: Any, n: int) -> NDArray[np.int64]:
    """Which images belong together, int64 (N,): 0, 1, ...; an image of unknown identity stands alone.

    Args:
        identities: (N,) numbers, a pandas column with nulls among them, or None.
        n: Number of images.
    """
    if identities is None:
        return np.arange(n, dtype=np.int64)
    import pandas as pd

    column = pd.array(identities, dtype="Int64")
    assert len(column) == n, (len(column), n)
    known = ~np.asarray(column.isna())
    codes = np.arange(n, dtype=np.int64)
    if known.any():
        _, first, place = np.unique(column[known].to_numpy(np.int64), return_index=True, return_inverse=True)
        codes[known] = np.flatnonzero(known)[first][place]
    return np.unique(codes, return_inverse=True)[1].astype(np.int64)


@dataclass(frozen=True)
class Bootstrap:
    """Metrics, and how they vary when other persons are drawn.

    Attributes:
        estimate: (M,), of the images as they are.
        resampled: (R, M), one row per resample; nan where a resample lacks a class.
        jackknife: (G, M), each without one group of images.
    """

    estimate: Floats
    resampled: Floats
    jackknife: Floats

    def intervals(self, level: float = LEVEL) -> list[Interval]:
        """BCa interval of each metric (bias-corrected and accelerated; Efron 1987), expanded for few groups.

        The expansion is Student's factor and sqrt(G / (G - 1)), which percentiles lack (Hesterberg 2015). Nowhere with
        fewer than `FEWEST_PERSONS` groups, and where no resample differs, as for an AUROC of 1: that nothing varied
        in the sample does not make anything certain.
        """
        return [
            _bca(float(self.estimate[m]), self.resampled[:, m], self.jackknife[:, m], level)
            for m in range(len(self.estimate))
        ]

    def p_values(self) -> Floats:
        """(M,), two-sided, of the hypothesis that the metric (a difference) is 0.

        The level at which the percentile interval would just touch 0, a resample at 0 counting for both sides;
        never below 2 / (R + 1).
        """
        values = []
        for column in self.resampled.T:
            finite = column[np.isfinite(column)]
            tail = min(int((finite <= 0).sum()), int((finite >= 0).sum())) + 1
            values.append(min(1.0, 2 * tail / (len(finite) + 1)) if _enough(column) else math.nan)
        return np.array(values)


class Resampling:
    """Draws clusters of images with replacement: the same draws for whatever is measured on the same images.

    Metrics are functions of totals over images (counts, sums, histograms of scores), so a resample is one row of
    weights times the totals per cluster. Above `MAX_GROUPS` clusters whole clusters are first put together at
    random: sums over independent groups vary as sums over their clusters do, and 20,000 images take no longer than
    2,000. Two models are compared by a metric of both models' columns, side by side.
    """

    def __init__(self, clusters: ArrayLike, *, resamples: int = RESAMPLES, seed: int = 0) -> None:
        """Fix the draws.

        Args:
            clusters: (N,), which images belong together, as from `clusters_of`.
            resamples: R.
            seed: Seed of the groups and the draws.
        """
        self.groups, self.number = _groups(np.asarray(clusters), seed)
        self.resamples = resamples
        self.seed = seed

    @cached_property
    def weights(self) -> NDArray[np.uint8]:
        """How often each group was drawn, (R, G); each row adds up to G."""
        generator = np.random.default_rng([self.seed, 1])
        weights = np.empty((self.resamples, self.number), dtype=np.uint8)
        rows = max(1, _BLOCK_ITEMS // max(1, self.number))
        for start in range(0, self.resamples, rows):
            block = weights[start : start + rows]
            draws = generator.integers(0, self.number, block.shape)
            draws += np.arange(len(block))[:, None] * self.number
            block[:] = np.bincount(draws.reshape(-1), minlength=block.size).reshape(block.shape)
        return weights

    def sums(self, columns: ArrayLike) -> Floats:
        """Columns (N, K) summed over the images of each group, (G, K)."""
        values = np.asarray(columns)
        assert values.ndim == 2 and len(values) == len(self.groups), (values.shape, len(self.groups))
        summed = [np.bincount(self.groups, column, minlength=self.number) for column in values.T]
        return np.stack(summed, axis=1) if summed else np.zeros((self.number, 0))

    def bootstrap(self, columns: ArrayLike, metric: Metric) -> Bootstrap:
        """Metrics of the totals of some columns.

        Args:
            columns: (N, K), one row per image.
            metric: Takes totals float64 (..., K), gives metrics (..., M); nan where one is not defined.
        """
        return self.bootstrap_sums(self.sums(columns), metric)

    def bootstrap_sums(self, sums: Floats, metric: Metric) -> Bootstrap:
        """Do what `bootstrap` does, for columns that were summed over the groups already, (G, K)."""
        assert sums.ndim == 2 and len(sums) == self.number, sums.shape
        total = sums.sum(axis=0)
        single = sums.astype(np.float32)  # exact for counts below 2**24
        rows = max(1, _BLOCK_ITEMS // max(1, self.number, sums.shape[1]))
        with np.errstate(divide="ignore", invalid="ignore"):
            resampled = [
                metric((self.weights[start : start + rows].astype(np.float32) @ single).astype(np.float64))
                for start in range(0, self.resamples, rows)
            ]
            return Bootstrap(metric(total[None])[0], np.concatenate(resampled), metric(total - sums))


def _groups(clusters: NDArray[Any], seed: int) -> tuple[NDArray[np.int64], int]:
    assert clusters.ndim == 1 and len(clusters), clusters.shape
    _, place = np.unique(clusters, return_inverse=True)
    number = int(place.max()) + 1
    if number > MAX_GROUPS:
        place = (np.random.default_rng([seed, 0]).permutation(number) % MAX_GROUPS)[place]
        number = MAX_GROUPS
    return place.astype(np.int64), number


def _bca(estimate: float, resampled: Floats, jackknife: Floats, level: float) -> Interval:
    groups = len(jackknife)
    if math.isnan(estimate) or not _enough(resampled) or groups < FEWEST_PERSONS:
        return NOWHERE
    finite = resampled[np.isfinite(resampled)]
    rank = (np.count_nonzero(finite < estimate) + np.count_nonzero(finite <= estimate)) / 2 / len(finite)
    bias = special.ndtri(np.clip(rank, 1 / (len(finite) + 1), len(finite) / (len(finite) + 1)))
    left_out = jackknife[np.isfinite(jackknife)]
    steps = left_out.mean() - left_out if len(left_out) else np.zeros(1)
    spread = float((steps**2).sum()) ** 1.5
    acceleration = float((steps**3).sum()) / (6 * spread) if spread > 0 else 0.0
    expanded = float(special.stdtrit(groups - 1, (1 + level) / 2)) * math.sqrt(groups / (groups - 1))
    z = np.array([-expanded, expanded])
    shares = special.ndtr(bias + (bias + z) / (1 - acceleration * (bias + z)))
    low, high = np.quantile(finite, shares)
    return Interval(float(low), float(high)) if high - low > 1e-6 else NOWHERE  # rounding is not variation


def _enough(column: Floats) -> bool:
    """Whether at least half of the resamples, and two, have the metric at all."""
    defined = int(np.isfinite(column).sum())
    return defined >= 2 and 2 * defined >= len(column)
