"""Whether one row is better than another: paired tests on the same images, Holm over all pairs.

Of two single runs McNemar's test is exact but takes images as independent; the bootstrap resamples people but is
approximate where they are few. The larger of the two p values counts: a difference must survive both.

A row of several seeds stands for its recipe. The difference is that of the mean accuracies, which is the mean over
images of the share of the row's runs that are right. Its variance is the bootstrap's over people plus s^2 / n of
each row that has seeds to tell it from; p and interval are Student's with Welch and Satterthwaite's degrees of
freedom. (What an image and a seed have together is in both terms, so this errs on the careful side.) McNemar's test
compares two networks, not two recipes: there it is given for every pair of runs and decides nothing. Neither a vote
of the seeds (an ensemble, which is another model) nor a pooled test (which counts an image once per seed) would
answer the question. Of a row of one run nothing is known about other seeds; what is said of it holds for that run.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from gender_lightning.comparison.rows import Row
from gender_lightning.evaluation.statistics.intervals import LEVEL, Bootstrap, Floats, Interval, Resampling
from gender_lightning.evaluation.statistics.significance import McNemar, holm, mcnemar

SIGNIFICANT = 0.05


@dataclass(frozen=True)
class RunPair:
    """McNemar's test of one run of each row."""

    first: str
    second: str
    test: McNemar


@dataclass(frozen=True)
class Pair:
    """Two rows on the same images.

    Attributes:
        first: Place of the row with the higher accuracy (of two equal ones, the earlier).
        second: Place of the other.
        difference: Accuracy of the first minus that of the second, at least 0.
        interval: 95 % interval of it, not adjusted for the number of pairs.
        p_bootstrap: Two-sided, from the bootstrap over people alone.
        mcnemar: Of each run of the first with each of the second.
        over_seeds: Whether the spread of seeds is in `interval` and `p`.
        p: What is judged.
        p_holm: The same, adjusted for all pairs of the comparison.
    """

    first: int
    second: int
    difference: float
    interval: Interval
    p_bootstrap: float
    mcnemar: tuple[RunPair, ...]
    over_seeds: bool
    p: float
    p_holm: float

    @property
    def differs(self) -> bool:
        """Whether the first beats the second at 5 % over all pairs together."""
        return self.p_holm < SIGNIFICANT

    @property
    def p_mcnemar(self) -> float:
        """Median over the pairs of runs: the one there is where both rows are single runs."""
        return statistics.median(it.test.p for it in self.mcnemar)


def compare_pairs(rows: Sequence[Row], resampling: Resampling) -> list[Pair]:
    """Every row with every other.

    Args:
        rows: On the same images.
        resampling: Of these images.
    """
    boot = _accuracies(rows, resampling)
    found = []
    for i, j in itertools.combinations(range(len(rows)), 2):
        first, second = (i, j) if boot.estimate[i] >= boot.estimate[j] else (j, i)
        found.append(_pair(rows, first, second, boot, resampling.number))
    adjusted = holm([pair.p for pair in found])
    return [Pair(**{**vars(pair), "p_holm": float(p)}) for pair, p in zip(found, adjusted, strict=True)]


def _accuracies(rows: Sequence[Row], resampling: Resampling) -> Bootstrap:
    """Mean accuracy of every row on the same draws of people."""
    right = [np.sum([run.correct for run in row.runs], axis=0) for row in rows]  # whole numbers: sums stay exact
    columns = np.stack([*right, np.ones(len(right[0]))], axis=1).astype(np.float64)
    runs = np.array([row.n for row in rows], dtype=np.float64)
    return resampling.bootstrap(columns, lambda totals: totals[..., :-1] / runs / totals[..., -1:])


def _pair(rows: Sequence[Row], first: int, second: int, boot: Bootstrap, groups: int) -> Pair:
    def minus(values: Floats) -> Floats:
        difference: Floats = (values[..., first] - values[..., second])[..., None].round(12)  # equal is equal
        return difference

    apart = Bootstrap(minus(boot.estimate), minus(boot.resampled), minus(boot.jackknife))
    (interval,), p_bootstrap = apart.intervals(), float(apart.p_values()[0])
    tests = tuple(
        RunPair(one.name, two.name, mcnemar(one.correct, two.correct))
        for one in rows[first].runs
        for two in rows[second].runs
    )
    difference = float(apart.estimate[0])
    over_seeds = rows[first].n > 1 or rows[second].n > 1
    if over_seeds:
        spread = [(float(apart.standard_errors()[0]) ** 2, groups - 1)]
        spread += [_over_seeds(row) for row in (rows[first], rows[second]) if row.n > 1]
        interval, p = welch(difference, spread)
    else:
        p = max(p_bootstrap, tests[0].test.p)
    return Pair(first, second, difference, interval, p_bootstrap, tests, over_seeds, p, math.nan)


def _over_seeds(row: Row) -> tuple[float, int]:
    """Variance of the mean accuracy over the seeds, and its degrees of freedom."""
    return statistics.variance([float(run.correct.mean()) for run in row.runs]) / row.n, row.n - 1


def welch(difference: float, parts: Sequence[tuple[float, int]]) -> tuple[Interval, float]:
    """Interval and two-sided p of a difference whose variance is a sum of independent estimates.

    Args:
        difference: What was seen.
        parts: Variance and degrees of freedom of each (Satterthwaite 1946; Welch 1947).
    """
    total = sum(variance for variance, _ in parts)
    if total == 0:
        return Interval(difference, difference), 1.0 if difference == 0 else 0.0
    freedom = total**2 / sum(variance**2 / degrees for variance, degrees in parts if variance > 0)
    error = math.sqrt(total)
    half = float(special.stdtrit(freedom, (1 + LEVEL) / 2)) * error
    p = 2 * float(special.stdtr(freedom, -abs(difference) / error))
    return Interval(difference - half, difference + half), p
