"""Whether one row is better than another: paired tests on the same images, Holm over all pairs.

The variance of a difference is the sandwich's over people, with Student's t at one degree of freedom less than people,
and as if two more effective images differed each way (after Bonett and Price 2012): few differing images show too
little of it. Of two single runs McNemar's test is exact but takes images as independent; the larger of the two p values
counts: a difference must survive both.

A row of several seeds stands for its recipe. The difference is that of the mean accuracies, which is the mean over
images of the share of the row's runs that are right. Its variance is that over people plus s^2 / n of each row, less
what a person and a seed have together, which is in both (two-way clustering: Cameron, Gelbach and Miller 2011); p and
interval are Student's with Welch and Satterthwaite's degrees of freedom. A row of a single run borrows the pooled
variance of the rows that have seeds. Where no row has any, nothing is known about other seeds: what is said then holds
for these runs, and says so. McNemar's test compares two networks, not two recipes: with seeds it is given for every
pair of runs and decides nothing. Neither a vote of the seeds (an ensemble, which is another model) nor a pooled test
(which counts an image once per seed) would answer the question.

With fewer than `FEWEST_PERSONS` people nothing is decided.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import special

from gender_lightning.comparison.runs.rows import Row
from gender_lightning.evaluation.statistics.intervals import Resampling
from gender_lightning.evaluation.statistics.proportions import FEWEST_PERSONS, LEVEL, NOWHERE, Floats, Interval
from gender_lightning.evaluation.statistics.significance import McNemar, holm, mcnemar

SIGNIFICANT = 0.05
_PSEUDO_IMAGES = 4.0  # that differ beside those that do: two each way
Decider = Literal["people", "mcnemar", "seeds"]


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
        interval: 95 % interval of it, not adjusted for the number of pairs; nowhere with too few people.
        p_people: Two-sided, from the variance over people alone.
        mcnemar: McNemar's test of each run of the first with each of the second.
        over_seeds: Whether the spread of seeds, own or borrowed, is in `interval` and `p`.
        decided_by: What `p` comes from: people, McNemar's test, or people and seeds together.
        p: What is judged; nan with too few people.
        p_holm: The same, adjusted for all pairs of the comparison.
    """

    first: int
    second: int
    difference: float
    interval: Interval
    p_people: float
    mcnemar: tuple[RunPair, ...]
    over_seeds: bool
    decided_by: Decider
    p: float
    p_holm: float

    @property
    def differs(self) -> bool:
        """Whether the first beats the second at 5 % over all pairs together."""
        return self.p_holm < SIGNIFICANT

    @property
    def judged(self) -> bool:
        """Whether there are people enough to decide anything."""
        return not math.isnan(self.p)

    @property
    def p_mcnemar(self) -> float:
        """Median over the pairs of runs: the one there is where both rows are single runs."""
        return statistics.median(pair.test.p for pair in self.mcnemar)


@dataclass(frozen=True)
class Variance:
    """Variance of an estimate: its size and its degrees of freedom."""

    size: float
    degrees: float


@dataclass(frozen=True)
class _Scored:
    """A row in sums over groups of people.

    Attributes:
        accuracy: Mean over runs and images.
        share: (N,), of the runs that are right on each image.
        over_seeds: Variance of `accuracy` over seeds: own, or borrowed; None where there is nothing to borrow from.
        both: What is in that and in the variance over people: what a person and a seed have together.
    """

    accuracy: float
    share: Floats
    over_seeds: Variance | None
    both: float


def compare_pairs(rows: Sequence[Row], resampling: Resampling) -> list[Pair]:
    """Every row with every other.

    Args:
        rows: On the same images.
        resampling: Says which of these images are of one person.
    """
    scored = _scored(rows, resampling)
    found = []
    for i, j in itertools.combinations(range(len(rows)), 2):
        first, second = (i, j) if scored[i].accuracy >= scored[j].accuracy else (j, i)
        found.append(_pair(rows, first, second, scored, resampling))
    adjusted = holm([pair.p for pair in found])
    return [replace(pair, p_holm=float(p)) for pair, p in zip(found, adjusted, strict=True)]


def _scored(rows: Sequence[Row], resampling: Resampling) -> list[_Scored]:
    right = [np.stack([run.correct for run in row.runs]).astype(np.float64) for row in rows]
    both = [_person_and_seed(runs, resampling) for runs in right]  # of a single run
    own = [statistics.variance(runs.mean(axis=1).tolist()) if len(runs) > 1 else 0.0 for runs in right]
    degrees = [len(runs) - 1 for runs in right]
    known = sum(degrees)
    pooled, pooled_both = (
        sum(d * value for d, value in zip(degrees, values, strict=True)) / known if known else 0.0
        for values in (own, both)
    )
    found = []
    for runs, variance, shared, free in zip(right, own, both, degrees, strict=True):
        # of whole numbers sums stay exact: equal is equal
        share = runs.sum(axis=0) / len(runs)
        seeds = None
        if free:
            seeds = Variance(variance / len(runs), free)
        elif known:
            seeds, shared = Variance(pooled, known), pooled_both
        found.append(_Scored(float(runs.sum() / runs.size), share, seeds, shared / len(runs)))
    return found


def _person_and_seed(runs: Floats, resampling: Resampling) -> float:
    """Variance of a single run's accuracy that is a person's and the run's together; runs (R, N), 0 with one run."""
    if len(runs) < 2:
        return 0.0
    deviation = runs - runs.mean(axis=1, keepdims=True)
    sums = np.stack([np.bincount(resampling.groups, one, minlength=resampling.number) for one in deviation])
    variances: Floats = sums.var(axis=0, ddof=1)
    return float(variances.sum()) / int(runs.shape[1]) ** 2


def _pair(rows: Sequence[Row], first: int, second: int, scored: Sequence[_Scored], resampling: Resampling) -> Pair:
    one, two = scored[first], scored[second]
    tests = tuple(
        RunPair(run.name, other.name, mcnemar(run.correct, other.correct))
        for run in rows[first].runs
        for other in rows[second].runs
    )
    difference = round(one.accuracy - two.accuracy, 12)
    if resampling.number < FEWEST_PERSONS:
        return Pair(first, second, difference, NOWHERE, math.nan, tests, False, "people", math.nan, math.nan)
    people = _over_people(one.share - two.share, resampling, max(rows[first].n, rows[second].n))
    interval, p_people = welch(difference, [people])
    over_seeds = one.over_seeds is not None and two.over_seeds is not None
    decided_by: Decider = "people"
    p = p_people
    if over_seeds:
        parts = [people, *(row.over_seeds for row in (one, two) if row.over_seeds)]
        interval, p = welch(difference, parts, less=one.both + two.both)
        decided_by = "seeds"
    elif rows[first].n == rows[second].n == 1 and tests[0].test.p > p:
        decided_by, p = "mcnemar", tests[0].test.p
    return Pair(first, second, difference, interval, p_people, tests, over_seeds, decided_by, p, math.nan)


def _over_people(differences: Floats, resampling: Resampling, runs: int) -> Variance:
    """Variance of the mean difference (N,) over people; `runs`: of the row that has more."""
    n, number = len(differences), resampling.number
    sizes = np.bincount(resampling.groups, minlength=number)
    residuals = np.bincount(resampling.groups, differences - differences.mean(), minlength=number)
    variance = number / (number - 1) * float((residuals**2).sum()) / n**2
    differing = np.abs(differences) > 1e-12
    if not differing.any():  # nothing shows by how much people matter: at worst all images of one are alike
        effect, square = float((sizes.astype(np.float64) ** 2).sum()) / n, 1 / runs**2
    else:
        effect = max(1.0, variance / (float(differences.var()) / n)) if differences.var() > 0 else 1.0
        square = float((differences[differing] ** 2).mean())
    return Variance(variance + _PSEUDO_IMAGES * effect * square / n**2, number - 1)


def welch(difference: float, parts: Sequence[Variance], less: float = 0.0) -> tuple[Interval, float]:
    """Interval and two-sided p of a difference whose variance is a sum of independent estimates.

    Args:
        difference: What was seen.
        parts: Variance and degrees of freedom of each (Satterthwaite 1946; Welch 1947).
        less: What is in two of them and counts once; the variance is never below the largest part.
    """
    total = sum(part.size for part in parts)
    if total == 0:
        return Interval(difference, difference), 1.0 if difference == 0 else 0.0
    total = max(total - less, *(part.size for part in parts), 0.0)
    freedom = total**2 / sum(part.size**2 / part.degrees for part in parts if part.size > 0)
    freedom = max(freedom, min(part.degrees for part in parts if part.size > 0))
    error = math.sqrt(total)
    half = float(special.stdtrit(freedom, (1 + LEVEL) / 2)) * error
    p = 2 * float(special.stdtr(freedom, -abs(difference) / error))
    return Interval(max(-1.0, difference - half), min(1.0, difference + half)), p  # as far as two shares can differ
