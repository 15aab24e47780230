"""Whether a crowd's scores can be those of the labelled faces in other shares, which `prevalence` takes for granted."""

from __future__ import annotations

import numpy as np

from gender_lightning.evaluation.statistics.prevalence import (
    BINS,
    LOGITS,
    Reference,
    Tally,
    corrected,
    effective_persons,
)
from gender_lightning.evaluation.statistics.proportions import Floats

# Logits that are shifted, of another width, or unsure: what a crowd of other pictures shows first.
_MOMENTS = np.stack([LOGITS, np.abs(LOGITS), 1 / (1 + np.exp(np.abs(LOGITS)))], axis=1)
_WIDTH = 1.5  # of the smooth windows over the logits in which a shift is looked for, and from one to the next
_CENTRES = np.arange(-9.0, 9.1, _WIDTH)
_WINDOWS = np.exp(-0.5 * ((LOGITS[:, None] - _CENTRES) / _WIDTH) ** 2)  # (BINS, windows)
_SHIFT = 3  # bins, 0.6 of a logit: the shift that the filter is made for
_RIDGE = 0.3  # of the mean variance of a window: few labelled people do not tell the covariance of all windows
_OF_SHIFT = 0.7  # of the false alarms that are allowed; the rest is left to differences of any kind


def goodness_of_fit(
    crowd: Tally, reference: Reference, *, people: Floats | None = None, draws: int = 1000, seed: int = 0
) -> float:
    """Probability, by chance, of scores as far from any mixture of the labelled men and women as the crowd's.

    A small one says that the crowd differs from the labelled faces in more than its share of men (other pictures,
    other people), so that the correction may not hold. Two tests by parametric bootstrap share the chance of a false
    alarm (Bonferroni, weighted): a matched filter for a shift of all logits, the linear statistic with the most power
    for what other pictures do first, given how these histograms vary by chance; and Mahalanobis's distance between the
    means of logit, of its size and of the doubt, which sees any difference. The labelled faces are drawn again too,
    person by person: the fewer they are, the less can be seen.

    Args:
        crowd: At least one face.
        reference: Labelled faces.
        people: See `prevalence.estimate`.
        draws: Number of draws of the bootstrap.
        seed: Seed of the draws.
    """
    random = np.random.default_rng(seed)
    persons = len(crowd) if people is None else effective_persons(people)
    women, men = reference.female.means[2:], reference.male.means[2:]
    middles = np.divide(crowd.sums, crowd.counts, out=1 / (1 + np.exp(-LOGITS)), where=crowd.counts > 0)
    seen = crowd.counts / len(crowd)

    def left(scores: Floats, female: Floats, male: Floats) -> Floats:
        """Histograms (..., BINS) less the mixture that comes nearest."""
        share = corrected(scores @ middles, female @ middles, male @ middles)[..., None]
        rest: Floats = scores - share * male - (1 - share) * female
        return rest

    observed = left(seen, women, men)
    mixture = np.clip(seen - observed, 0.0, None)
    mixture /= mixture.sum()
    drawn = random.multinomial(persons, mixture, size=draws) / persons
    female, male = (scores.resampled(random, draws)[:, 2:] for scores in (reference.female, reference.male))
    by_chance = left(drawn, female, male)
    assert by_chance.shape == (draws, BINS)
    shift = left(_shifted(mixture, _SHIFT), women, men) - left(_shifted(mixture, -_SHIFT), women, men)
    of_shift = _p(*_filtered(observed @ _WINDOWS, by_chance @ _WINDOWS, shift @ _WINDOWS))
    of_any = _p(*_mahalanobis(observed @ _MOMENTS, by_chance @ _MOMENTS))
    return min(1.0, of_shift / _OF_SHIFT, of_any / (1 - _OF_SHIFT))


def _shifted(histogram: Floats, bins: int) -> Floats:
    """The histogram (BINS,) with all logits larger by so many bins; what would leave it stays at its end."""
    moved = np.clip(np.arange(BINS) + bins, 0, BINS - 1)
    shifted: Floats = np.bincount(moved, histogram, minlength=BINS).astype(np.float64)
    return shifted


def _mahalanobis(observed: Floats, by_chance: Floats) -> tuple[float, Floats]:
    """Distance of moments (K,) from none, and of those by chance (draws, K), in the units of their covariance."""
    inverse = np.linalg.pinv(np.cov(by_chance.T))
    drawn = by_chance - by_chance.mean(axis=0)
    return float(observed @ inverse @ observed), np.einsum("ij,jk,ik->i", drawn, inverse, drawn)


def _filtered(observed: Floats, by_chance: Floats, shift: Floats) -> tuple[float, Floats]:
    """How much of a shift (K,) is in what was observed (K,), and in what chance gives (draws, K); without sign."""
    covariance = np.cov(by_chance.T)
    covariance += _RIDGE * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    weights = np.linalg.solve(covariance, shift) if np.trace(covariance) > 0 else shift
    return abs(float(observed @ weights)), np.abs((by_chance - by_chance.mean(axis=0)) @ weights)


def _p(distance: float, distances: Floats) -> float:
    return float((1 + (distances >= distance).sum()) / (1 + len(distances)))
