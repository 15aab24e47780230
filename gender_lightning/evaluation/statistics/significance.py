"""Whether a difference is more than chance: between models, and between slices of a split."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from gender_lightning.evaluation.statistics.intervals import Metric, Resampling
from gender_lightning.evaluation.statistics.proportions import FEWEST_PERSONS, LEVEL, Floats, Interval

SIGN_FLIPS = 20_000
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
        estimate: Difference on the images as they are.
        interval: Interval from the bootstrap over clusters.
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
        resampling: Draws of the images that both models have decided.
        first: (N, K) columns of the first model, such as `totals.decision_columns`.
        second: (N, K), of the second.
        metric: Takes totals (..., K) to metrics (..., M), such as `totals.decision_metrics`.
        level: Coverage of the intervals.
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

    A nan stands for a test that was not made: it stays nan and does not count.
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
    and Santos 2012), so that the images of a person may depend on each other. A slice without errors has hardly any
    variance to flip, and would always be found better than the rest: a difference must therefore also be more than
    Fisher's exact test explains, at the number of independent images that these are worth. Where few persons have most
    of the errors, so must it be more than Student's t does, at the degrees of freedom that the scores have
    (Satterthwaite 1946). The largest of the three p values counts.

    Args:
        correct: (N,) bool; or the share of several models that are right, of which Fisher's test takes the sums as
            whole images.
        members: (N, S) bool, one column per slice.
        resampling: Says which images belong together, and the seed.
        population: (N, S) bool, the images that each slice is compared within (members and rest); all by default.
        flips: Random signs to draw.

    Returns:
        (S,), two-sided, never below 1 / (1 + flips); nan where slice or rest has images of fewer than
        `FEWEST_PERSONS` groups, which no test that is robust to persons can judge.
    """
    hits = np.asarray(correct, dtype=np.float64)
    inside = np.ones(members.shape, dtype=np.bool_) if population is None else population
    scores = np.full((resampling.number, members.shape[1]), np.nan)
    others = np.full(members.shape[1], np.nan)
    for s in range(members.shape[1]):
        rows = np.flatnonzero(inside[:, s])
        groups, member = resampling.groups[rows], members[rows, s]
        if min(len(np.unique(groups[member])), len(np.unique(groups[~member]))) >= FEWEST_PERSONS:
            away, left = member - member.mean(), hits[rows] - hits[rows].mean()
            scores[:, s] = np.bincount(groups, away * left, minlength=resampling.number)
            counts = np.array([hits[rows][member].sum(), member.sum(), hits[rows].sum(), len(rows)], dtype=np.float64)
            exact = fisher_exact(*counts / _score_effect(away, left, groups))
            others[s] = max(exact, _student_p(scores[:, s], len(np.unique(groups))))
    # a nan of `others` says that there was no test
    p_values: Floats = np.maximum(_sign_flip_p(np.nan_to_num(scores), resampling.seed, flips), others)
    return p_values


def _score_effect(away: Floats, left: Floats, groups: NDArray[np.int64]) -> float:
    """The factor, at least 1, by which persons inflate the variance of the sum of away x left if nothing is different.

    How much the images of a person are alike is taken from all images, not from the slice: one whose few persons have
    no errors by chance would seem to have no variance. A trait that a person has on some images only is hardly
    inflated, one of whole persons as much as the share itself.

    Args:
        away: (N,), member less the share of members.
        left: (N,), right less the share that is right.
        groups: (N,), which images are of one person.
    """
    sizes = np.bincount(groups).astype(np.float64)
    pairs = float((sizes * (sizes - 1)).sum())
    squares = float((left**2).sum())
    if pairs < 1 or squares < 1e-12:
        return 1.0
    together = float((np.bincount(groups, left) ** 2).sum()) - squares
    alike = min(1.0, max(0.0, together / pairs / (squares / len(left))))  # intra-class correlation, by moments
    own = float((away**2).sum())
    shared = float((np.bincount(groups, away) ** 2).sum()) - own
    return max(1.0, 1 + alike * shared / own)


def _student_p(scores: Floats, groups: int) -> float:
    """Two-sided p of a sum of scores (G,), 0 in all but `groups` of them, being 0."""
    squares = scores**2
    total = float(squares.sum())
    if total < 1e-18:
        return 1.0
    degrees = min(max(1.0, 3 * total**2 / float((squares**2).sum()) - 1), groups - 1.0)  # groups - 1 for normal scores
    error = math.sqrt(groups / (groups - 1) * total)
    return 2 * float(special.stdtr(degrees, -abs(float(scores.sum())) / error))


def fisher_exact(hits: float, images: float, all_hits: float, all_images: float) -> float:
    """Two-sided p of Fisher's exact test (1935) of whether a part is right as often as the rest of a whole.

    Args:
        hits: Right images of the part; rounded, as the others.
        images: Images of the part.
        all_hits: Right images of the whole.
        all_images: Images of the whole.
    """
    drawn, right, whole = (round(float(number)) for number in (images, all_hits, all_images))
    least, most = max(0, drawn + right - whole), min(drawn, right)
    possible = np.arange(least, most + 1)
    seen = min(max(round(float(hits)), least), most) - least

    def log_choose(n: ArrayLike, k: ArrayLike) -> Floats:
        ways: Floats = special.gammaln(np.add(n, 1)) - special.gammaln(np.add(k, 1))
        ways -= special.gammaln(np.subtract(n, k) + 1)
        return ways

    chances = log_choose(right, possible) + log_choose(whole - right, drawn - possible)
    chances -= log_choose(whole, drawn)
    # of equal chances rounding must not leave one out
    return min(1.0, float(np.exp(chances[chances <= chances[seen] + 1e-7]).sum()))


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
