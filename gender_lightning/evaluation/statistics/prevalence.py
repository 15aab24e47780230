"""The share of a class in a crowd, from scores of a classifier whose confusion is known from labelled faces.

Counting decisions is biased: where a fraction f of the women is taken for men, a crowd of women counts some men. With
recalls known from labelled faces the bias can be taken out (adjusted classify and count, Gart and Buck 1966, Forman
2008), with decisions or, less noisy, with mean probabilities (probabilistic adjusted count, Bella et al. 2010):

    share = (said - said of women) / (said of men - said of women)

where `said` is the share decided male, or the mean probability. It holds where the crowd differs from the labelled
faces in its share of men only: `Estimate.fit` tells whether the scores look like it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gender_lightning.errors import UserError

Floats = NDArray[np.float64]
Method = Literal["probabilities", "decisions"]
Target = Literal["population", "crowd"]
BINS = 100  # of a histogram of probabilities
_LEAST_DIFFERENCE = 0.1  # of what is said of men and of women, below which nothing can be told


@dataclass(frozen=True)
class Tally:
    """All that is kept of a crowd: sums, from which no face can be told.

    Attributes:
        counts: int64 (BINS,), faces by probability.
        sums: float64 (BINS,), their probabilities added up.
        decided: Faces decided male.
    """

    counts: NDArray[np.int64]
    sums: Floats
    decided: int

    @classmethod
    def empty(cls) -> Tally:
        """Of nobody."""
        return cls(np.zeros(BINS, dtype=np.int64), np.zeros(BINS), 0)

    @classmethod
    def of(cls, probabilities: ArrayLike, threshold: float) -> Tally:
        """Of probabilities (N,) of class male; N may be 0."""
        values = np.asarray(probabilities, dtype=np.float64).reshape(-1)
        bins = _bins(values)
        counts = np.bincount(bins, minlength=BINS).astype(np.int64)
        sums = np.bincount(bins, values, minlength=BINS).astype(np.float64)
        return cls(counts, sums, int((values >= threshold).sum()))

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.counts + other.counts, self.sums + other.sums, self.decided + other.decided)

    def __len__(self) -> int:
        return int(self.counts.sum())

    def mean(self, method: Method) -> float:
        """What is said of the crowd: the share decided male, or the mean probability."""
        assert len(self) > 0
        return self.decided / len(self) if method == "decisions" else float(self.sums.sum()) / len(self)


@dataclass(frozen=True)
class ClassScores:
    """What the classifier says of labelled faces of one class.

    Attributes:
        tally: Of all of them.
        units: float64 (U, 2 + BINS): decided male, sum of probabilities and histogram of each unit that is drawn as
            one: the faces of a person, or a face where persons are unknown.
        repeats: (U,), how many units look like this.
    """

    tally: Tally
    units: Floats
    repeats: NDArray[np.int64]

    @classmethod
    def of(cls, probabilities: Floats, threshold: float, persons: NDArray[np.int64] | None) -> ClassScores:
        """Of probabilities (N,), and the number of the person on each face where it is known."""
        decided, bins = (probabilities >= threshold).astype(np.intp), _bins(probabilities)
        # Without persons, faces of one decision and bin are drawn as the same, with their mean probability.
        order, place = np.unique(2 * bins + decided if persons is None else persons, return_inverse=True)
        units = np.zeros((len(order), 2 + BINS))
        np.add.at(units, (place, 0), decided)
        np.add.at(units, (place, 1), probabilities)
        np.add.at(units, (place, 2 + bins), 1)
        repeats = np.ones(len(order), dtype=np.int64)
        if persons is None:
            repeats = np.bincount(place)
            units /= repeats[:, None]
        return cls(Tally.of(probabilities, threshold), units, repeats)

    def resampled(self, random: np.random.Generator, draws: int, columns: slice | int = slice(None)) -> Floats:
        """Means per face of columns of `units`, (draws,) or (draws, columns), over units drawn with replacement."""
        total = int(self.repeats.sum())
        drawn = random.multinomial(total, self.repeats / total, size=draws)
        faces = drawn @ self.units[:, 2:].sum(axis=1)
        means: Floats = ((drawn @ self.units[:, columns]).T / faces).T
        return means


@dataclass(frozen=True)
class Reference:
    """Labelled faces of both classes: what the classifier's confusion is known from."""

    female: ClassScores
    male: ClassScores
    persons: bool

    @classmethod
    def of(
        cls, labels: ArrayLike, probabilities: ArrayLike, threshold: float, identities: ArrayLike | None = None
    ) -> Reference:
        """From labels (N,), 1 male; probabilities (N,); and the identity (N,) of each face where it is known.

        Raises:
            UserError: A class is absent, or the classifier does not tell them apart.
        """
        truth, values = np.asarray(labels).astype(np.bool_), np.asarray(probabilities, dtype=np.float64)
        persons = None if identities is None else np.asarray(identities).astype(np.int64)
        if truth.all() or not truth.any():
            raise UserError("The labelled faces have one class only. Give predictions on faces of both: reference=...")
        female, male = (
            ClassScores.of(values[of], threshold, None if persons is None else persons[of]) for of in (~truth, truth)
        )
        reference = cls(female, male, persons is not None)
        difference = min(reference.difference("decisions"), reference.difference("probabilities"))
        if difference < _LEAST_DIFFERENCE:
            raise UserError(
                f"The model says nearly the same of men and of women (a difference of {difference:.2f}), so their "
                "share cannot be told from it. Give another checkpoint."
            )
        return reference

    def difference(self, method: Method) -> float:
        """Between what is said of men and of women, -1..1."""
        return self.male.tally.mean(method) - self.female.tally.mean(method)


@dataclass(frozen=True)
class Estimate:
    """The share of men in a crowd.

    Attributes:
        faces: In the crowd.
        share: Of men, in 0..1.
        low: End of the interval.
        high: Other end.
        naive: Share of faces decided male, uncorrected.
    """

    faces: int
    share: float
    low: float
    high: float
    naive: float


def estimate(
    crowd: Tally,
    reference: Reference,
    *,
    method: Method = "probabilities",
    target: Target = "population",
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Estimate:
    """The corrected share with a percentile interval from a bootstrap.

    Args:
        crowd: At least one face.
        reference: Labelled faces. They are drawn again each time: the recalls are uncertain too.
        method: Correct the mean probability, or the share of decisions.
        target: `population`: the interval is for those whom the crowd is a sample of, and the crowd is drawn again
            too. `crowd`: it is for these very faces, of which only what is said is random.
        level: Of the interval.
        draws: Of the bootstrap.
        seed: Of the draws.
    """
    assert len(crowd) > 0
    random = np.random.default_rng(seed)
    column = 0 if method == "decisions" else 1
    share = _corrected(crowd.mean(method), reference.female.tally.mean(method), reference.male.tally.mean(method))
    female, male = (scores.resampled(random, draws, column) for scores in (reference.female, reference.male))
    if target == "population":
        said = _redrawn(crowd, random, draws, method)
    else:
        said = _simulated(crowd, reference, float(share), random, draws, method)
    low, high = np.quantile(_corrected(said, female, male), [(1 - level) / 2, (1 + level) / 2])
    return Estimate(len(crowd), float(share), float(low), float(high), crowd.decided / len(crowd))


def goodness_of_fit(crowd: Tally, reference: Reference, *, draws: int = 1000, seed: int = 0) -> float:
    """Probability, by chance, of scores as far from any mixture of the labelled men and women as the crowd's.

    A small one says that the crowd differs from the labelled faces in more than its share of men (other pictures,
    other people), so that the correction may not hold. Parametric bootstrap of Kolmogorov's distance; the labelled
    faces are drawn again too.

    Args:
        crowd: At least one face.
        reference: Labelled faces.
        draws: Of the bootstrap.
        seed: Of the draws.
    """
    random = np.random.default_rng(seed)
    women, men = (scores.tally.counts / len(scores.tally) for scores in (reference.female, reference.male))
    of_women, of_men = (scores.tally.mean("probabilities") for scores in (reference.female, reference.male))
    share = float(_corrected(crowd.mean("probabilities"), of_women, of_men))
    mixture = share * men + (1 - share) * women
    observed = np.abs(np.cumsum(crowd.counts / len(crowd) - mixture)).max()
    centres = np.divide(crowd.sums, crowd.counts, out=(np.arange(BINS) + 0.5) / BINS, where=crowd.counts > 0)
    drawn = random.multinomial(len(crowd), mixture / mixture.sum(), size=draws) / len(crowd)
    female, male = (scores.resampled(random, draws, slice(2, None)) for scores in (reference.female, reference.male))
    shares = _corrected(drawn @ centres, female @ centres, male @ centres)[:, None]
    distances = np.abs(np.cumsum(drawn - shares * male - (1 - shares) * female, axis=1)).max(axis=1)
    return float((1 + (distances >= observed).sum()) / (1 + draws))


def _bins(probabilities: Floats) -> NDArray[np.intp]:
    return np.clip((probabilities * BINS).astype(np.intp), 0, BINS - 1)


def _corrected(said: Floats | float, of_women: Floats | float, of_men: Floats | float) -> Floats:
    difference = np.maximum(np.subtract(of_men, of_women), 1e-6)  # of resampled ones: those observed are far apart
    shares: Floats = np.clip(np.subtract(said, of_women) / difference, 0.0, 1.0)
    return shares


def _redrawn(crowd: Tally, random: np.random.Generator, draws: int, method: Method) -> Floats:
    """What is said of crowds (draws,) drawn from this one with replacement."""
    if method == "decisions":
        return random.binomial(len(crowd), crowd.decided / len(crowd), size=draws) / len(crowd)
    return _sums(crowd, len(crowd), random, draws) / len(crowd)


def _simulated(
    crowd: Tally, reference: Reference, share: float, random: np.random.Generator, draws: int, method: Method
) -> Floats:
    """What is said of crowds (draws,) with as many men as this one is estimated to have."""
    men = round(share * len(crowd))
    parts = ((reference.male.tally, men), (reference.female.tally, len(crowd) - men))
    total = np.zeros(draws)
    for tally, count in parts:
        if method == "decisions":
            total += random.binomial(count, tally.mean("decisions"), size=draws)
        else:
            total += _sums(tally, count, random, draws)
    return total / len(crowd)


def _sums(tally: Tally, faces: int, random: np.random.Generator, draws: int) -> Floats:
    """Sum of probabilities (draws,) of so many faces drawn from a tally."""
    there = tally.counts > 0
    means = tally.sums[there] / tally.counts[there]
    drawn: Floats = random.multinomial(faces, tally.counts[there] / len(tally), size=draws) @ means
    return drawn
