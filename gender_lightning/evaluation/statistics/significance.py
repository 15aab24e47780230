"""Whether a difference is more than chance: between models, and between slices of a split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from gender_lightning.evaluation.statistics.intervals import LEVEL, Floats, Interval, Metric, Resampling

SIGN_FLIPS = 20_000
FEWEST_GROUPS = 10  # of persons in a slice or its rest, for a test
_BLOCK = 1_000


@dataclass(frozen=True)
class McNemar:
    """Outcome of McNemar's test on paired decisions.

    Attributes:
        only_first: Images that only the first model gets right.
        only_second: Images that only the second does.
        p: Two-sided, exact.
    """

    only_first: int
    only_second: int
    p: float


@dataclass(frozen=True)
class Difference:
    """First minus second, of one metric on the same images.

    Attributes:
        estimate: Of the images as they are.
        interval: From the bootstrap over clusters.
        p: Two-sided, of no difference, from the same bootstrap.
    """

    estimate: float
    interval: Interval
    p: float


def mcnemar(first: ArrayLike, second: ArrayLike) -> McNemar:
    """Exact test of equal accuracy on the same images (McNemar 1947; binomial, no continuity correction).

    It takes images as independent; `paired_differences` does not.

    Args:
        first: (N,) bool, whether the first model decided each image rightly.
        second: (N,) bool, the same of the second.
    """
    one, two = np.asarray(first, dtype=np.bool_), np.asarray(second, dtype=np.bool_)
    assert one.shape == two.shape, (one.shape, two.shape)
    only_first, only_second = int((one & ~two).sum()), int((~one & two).sum())
    discordant = only_first + only_second
    tail = float(special.bdtr(min(only_first, only_second), discordant, 0.5)) if discordant else 1.0
    return McNemar(only_first, only_second, min(1.0, 2 * tail))


def paired_differences(
    resampling: Resampling, first: ArrayLike, second: ArrayLike, metric: Metric, level: float = LEVEL
) -> list[Difference]:
    """Each metric of the first model minus that of the second, on the same resampled persons.

    Args:
        resampling: Of the images that both models have decided.
        first: (N, K) columns of the first model, such as `tallies.decision_columns`.
        second: (N, K), of the second.
        metric: Takes totals (..., K) to metrics (..., M), such as `tallies.decision_metrics`.
        level: Of the intervals.
    """
    columns = np.concatenate([np.asarray(first), np.asarray(second)], axis=1)
    width = columns.shape[1] // 2

    def difference(totals: Floats) -> Floats:
        return metric(totals[..., :width]) - metric(totals[..., width:])

    boot = resampling.bootstrap(columns, difference)
    found = zip(boot.estimate, boot.intervals(level), boot.p_values(), strict=True)
    return [Difference(float(estimate), interval, float(p)) for estimate, interval, p in found]


def holm(p_values: Sequence[float] | Floats) -> Floats:
    """P values adjusted for their number (Holm 1979), (M,): below 0.05 is significant at 5 % over all together.

    A nan is no test: it stays nan and does not count.
    """
    values = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(values.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(values))
    order = tested[np.argsort(values[tested], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(values[order] * factors))
    return adjusted


def membership_tests(
    correct: ArrayLike,
    members: NDArray[np.bool_],
    resampling: Resampling,
    population: NDArray[np.bool_] | None = None,
    flips: int = SIGN_FLIPS,
) -> Floats:
    """P values of whether images of a slice are decided rightly as often as the rest.

    A score test whose statistic is, over the groups of `resampling`, the sum of (member - share of members)(correct
    - accuracy). Its null distribution comes from flipping the groups' signs at random (wild score bootstrap of Kline
    and Santos 2012), so that the images of a person may depend on each other.

    Args:
        correct: (N,) bool.
        members: (N, S) bool, one column per slice.
        resampling: Says which images belong together, and the seed.
        population: (N, S) bool, the images that each slice is compared within (members and rest); all by default.
        flips: Random signs to draw.

    Returns:
        (S,), two-sided, never below 1 / (1 + flips); nan where slice or rest has images of fewer than
        `FEWEST_GROUPS` groups, which no test that is robust to persons can judge.
    """
    hits = np.asarray(correct, dtype=np.float64)
    inside = np.ones(members.shape, dtype=np.bool_) if population is None else population
    scores = np.full((resampling.number, members.shape[1]), np.nan)
    for s in range(members.shape[1]):
        rows = np.flatnonzero(inside[:, s])
        groups, member = resampling.groups[rows], members[rows, s]
        if min(len(np.unique(groups[member])), len(np.unique(groups[~member]))) >= FEWEST_GROUPS:
            deviation = (member - member.mean()) * (hits[rows] - hits[rows].mean())
            scores[:, s] = np.bincount(groups, deviation, minlength=resampling.number)
    return np.where(np.isnan(scores[0]), np.nan, _sign_flip_p(np.nan_to_num(scores), resampling.seed, flips))


def _sign_flip_p(scores: Floats, seed: int, flips: int) -> Floats:
    """Share of random signs (flips, G) under which |sum of scores (G, S)| is at least what was seen, (S,)."""
    generator = np.random.default_rng([seed, 2])
    seen = np.abs(scores.sum(axis=0))
    # rounding must not make a tie a difference, nor a sum of nothing significant
    bar = (seen - 1e-5 * np.abs(scores).sum(axis=0) - 1e-12).astype(np.float32)
    single, reached = scores.astype(np.float32), np.zeros(scores.shape[1])
    for start in range(0, flips, _BLOCK):
        signs = generator.integers(0, 2, (min(_BLOCK, flips - start), len(scores)), dtype=np.int8) * 2 - 1
        reached += (np.abs(signs.astype(np.float32) @ single) >= bar).sum(axis=0)
    return (1 + reached) / (1 + flips)
