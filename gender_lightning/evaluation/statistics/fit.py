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


def goodness_of_fit(
    crowd: Tally, reference: Reference, *, people: Floats | None = None, draws: int = 1000, seed: int = 0
) -> float:
    """Probability, by chance, of scores as far from any mixture of the labelled men and women as the crowd's.

    A small one says that the crowd differs from the labelled faces in more than its share of men (other pictures,
    other people), so that the correction may not hold. Parametric bootstrap of Mahalanobis's distance between the means
    of logit, of its size and of the doubt, which sees a shift of the scores much sooner than Kolmogorov's does. The
    labelled faces are drawn again too, person by person: the fewer they are, the less can be seen.

    Args:
        crowd: At least one face.
        reference: Labelled faces.
        people: See `prevalence.estimate`.
        draws: Number of draws of the bootstrap.
        seed: Seed of the draws.
    """
    random = np.random.default_rng(seed)
    persons = len(crowd) if people is None else effective_persons(people)
    women, men = reference.female.means, reference.male.means
    middles = np.divide(crowd.sums, crowd.counts, out=1 / (1 + np.exp(-LOGITS)), where=crowd.counts > 0)
    seen = crowd.counts / len(crowd)

    def left(scores: Floats, female: Floats, male: Floats) -> Floats:
        """Histograms (..., BINS) less the mixture that comes nearest."""
        share = corrected(scores @ middles, female @ middles, male @ middles)[..., None]
        rest: Floats = scores - share * male - (1 - share) * female
        return rest

    observed = left(seen, women[2:], men[2:])
    mixture = np.clip(seen - observed, 0.0, None)
    drawn = random.multinomial(persons, mixture / mixture.sum(), size=draws) / persons
    female, male = (scores.resampled(random, draws)[:, 2:] for scores in (reference.female, reference.male))
    by_chance = left(drawn, female, male)
    assert by_chance.shape == (draws, BINS)
    distance, distances = _mahalanobis(observed, by_chance)
    return float((1 + (distances >= distance).sum()) / (1 + draws))


def _mahalanobis(observed: Floats, by_chance: Floats) -> tuple[float, Floats]:
    """Distance of the moments from none, in the units of their covariance by chance."""
    moments = by_chance @ _MOMENTS
    inverse = np.linalg.pinv(np.cov(moments.T))
    centre = moments.mean(axis=0)
    seen, drawn = observed @ _MOMENTS, moments - centre
    return float(seen @ inverse @ seen), np.einsum("ij,jk,ik->i", drawn, inverse, drawn)
