"""The share of a class in a crowd, from scores of a classifier whose confusion is known from labelled faces.

Counting decisions is biased: where a fraction f of the women is taken for men, a crowd of women counts some men. With
recalls known from labelled faces the bias can be taken out (adjusted classify and count, Gart and Buck 1966, Forman
2008), with decisions or, less noisy, with mean probabilities (probabilistic adjusted count, Bella et al. 2010):

    share = (said - said of women) / (said of men - said of women)

where `said` is the share decided male, or the mean probability. It holds where the crowd differs from the labelled
faces in its share of men only: `goodness_of_fit` tells whether the scores look like it. A person counts once among the
labelled faces, however many pictures there are: a crowd is made of people, and those with many pictures (famous, well
lit) are not its average.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from gender_lightning.errors import UserError
from gender_lightning.evaluation.statistics.proportions import LEVEL, Floats, labelled_as_usual

Method = Literal["probabilities", "decisions"]
Target = Literal["population", "crowd"]
BINS = 100  # of a histogram of probabilities, evenly wide in logits: most probabilities lie close to 0 or 1
_LARGEST_LOGIT = 10.0
LOGITS = _LARGEST_LOGIT * (2 * (np.arange(BINS) + 0.5) / BINS - 1)  # in the middle of each bin
_MIDDLES = special.expit(LOGITS)
_COLUMN: dict[Method, int] = {"decisions": 0, "probabilities": 1}  # of `ClassScores.units`
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
        """The tally of an empty crowd."""
        return cls(np.zeros(BINS, dtype=np.int64), np.zeros(BINS), 0)

    @classmethod
    def of(cls, probabilities: ArrayLike, threshold: float) -> Tally:
        """Tally probabilities (N,) of the class male; N may be 0."""
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
        units: float64 (U, 2 + BINS): share decided male, mean probability and histogram (shares) of each unit that is
            drawn as one: the faces of a person, or a face where persons are unknown.
        repeats: (U,), how many units look like this; 1 for a person.
    """

    units: Floats
    repeats: NDArray[np.int64]

    @classmethod
    def of(cls, probabilities: Floats, threshold: float, persons: NDArray[np.int64] | None) -> ClassScores:
        """Score probabilities (N,), with the number of the person on each face where it is known."""
        decided, bins = (probabilities >= threshold).astype(np.intp), _bins(probabilities)
        # Without persons, faces of one decision and bin are drawn as the same, with their mean probability.
        order, place = np.unique(2 * bins + decided if persons is None else persons, return_inverse=True)
        units = np.zeros((len(order), 2 + BINS))
        np.add.at(units, (place, 0), decided)
        np.add.at(units, (place, 1), probabilities)
        np.add.at(units, (place, 2 + bins), 1)
        faces = np.bincount(place)
        return cls(units / faces[:, None], faces if persons is None else np.ones(len(order), dtype=np.int64))

    def __len__(self) -> int:
        """Persons; faces where persons are unknown."""
        return int(self.repeats.sum())

    @property
    def means(self) -> Floats:
        """(2 + BINS,), over units: each person counts once."""
        mean: Floats = self.repeats @ self.units / len(self)
        return mean

    def mean(self, method: Method) -> float:
        """The share decided male, or the mean probability."""
        return float(self.means[_COLUMN[method]])

    def resampled(self, random: np.random.Generator, draws: int, level: float = LEVEL) -> Floats:
        """`means` (draws, 2 + BINS) over units drawn with replacement.

        Spread by what a bootstrap of few units lacks: sqrt(U / (U - 1)) and Student's factor (Hesterberg 2015).
        """
        drawn = random.multinomial(len(self), self.repeats / len(self), size=draws) @ self.units / len(self)
        spread: Floats = self.means + _expansion(len(self), level) * (drawn - self.means)
        return spread


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
        """Make a reference from labels (N,), 1 male; probabilities (N,); and the identities (N,) where they are known.

        Pictures labelled unlike most of their person's are left out, and all of a person's where it is half and half.

        Raises:
            UserError: A class is absent, or the classifier does not tell them apart.
        """
        truth, values = np.asarray(labels).astype(np.bool_), np.asarray(probabilities, dtype=np.float64)
        persons = None if identities is None else np.asarray(identities).astype(np.int64)
        if persons is not None:
            # A slip of the annotators on one of a woman's pictures would count as much as a man of twenty.
            kept = labelled_as_usual(truth, persons)
            truth, values, persons = truth[kept], values[kept], persons[kept]
        if truth.all() or not truth.any():
            raise UserError(
                "The labelled faces have one class only.", "Give predictions on faces of both: reference=..."
            )
        female, male = (
            ClassScores.of(values[of], threshold, None if persons is None else persons[of]) for of in (~truth, truth)
        )
        reference = cls(female, male, persons is not None)
        difference = min(reference.difference("decisions"), reference.difference("probabilities"))
        if difference < _LEAST_DIFFERENCE:
            raise UserError(
                f"The model says nearly the same of men and of women (a difference of {difference:.2f}), so their "
                "share cannot be told from it.",
                "Give another checkpoint.",
            )
        return reference

    def difference(self, method: Method) -> float:
        """Between what is said of men and of women, -1..1."""
        return self.male.mean(method) - self.female.mean(method)


@dataclass(frozen=True)
class Estimate:
    """The share of men in a crowd.

    Attributes:
        faces: Number of faces in the crowd.
        share: Share of men, in 0..1.
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
    people: Floats | None = None,
    method: Method = "probabilities",
    target: Target = "population",
    level: float = LEVEL,
    draws: int = 2000,
    seed: int = 0,
) -> Estimate:
    """The corrected share of faces with a percentile interval from a bootstrap.

    Args:
        crowd: At least one face.
        reference: Labelled faces. They are drawn again each time: the recalls are uncertain too.
        people: float64 (P, 3), of each person of the crowd: faces, faces decided male, sum of probabilities. Several
            faces of a person then tell less than as many of different ones. None: every face is another person.
        method: Correct the mean probability, or the share of decisions.
        target: `population`: the interval is for those whom the crowd is a sample of, and the crowd is drawn again
            too. `crowd`: it is for these very faces, of which only what is said is random.
        level: Coverage of the interval.
        draws: Number of draws of the bootstrap.
        seed: Seed of the draws.
    """
    assert len(crowd) > 0
    random = np.random.default_rng(seed)
    column = _COLUMN[method]
    share = corrected(crowd.mean(method), reference.female.mean(method), reference.male.mean(method))
    female, male = (scores.resampled(random, draws, level)[:, column] for scores in (reference.female, reference.male))
    if target == "population":
        said = _redrawn(crowd, people, random, draws, method, level)
    else:
        said = _simulated(crowd, people, reference, float(share), random, draws, method)
    low, high = np.quantile(corrected(said, female, male), [(1 - level) / 2, (1 + level) / 2])
    return Estimate(len(crowd), float(share), float(low), float(high), crowd.decided / len(crowd))


def effective_persons(people: Floats) -> int:
    """How many persons of one face each say as much as these with several (Kish 1965), at least 1; (P, 3)."""
    faces = people[:, 0]
    return max(1, round(float(faces.sum() ** 2 / (faces**2).sum())))


def corrected(said: Floats | float, of_women: Floats | float, of_men: Floats | float) -> Floats:
    """Shares of men, (...), from what is said of the crowd, of women and of men, each (...)."""
    difference = np.maximum(np.subtract(of_men, of_women), 1e-6)  # of resampled ones: those observed are far apart
    shares: Floats = np.clip(np.subtract(said, of_women) / difference, 0.0, 1.0)
    return shares


def _redrawn(
    crowd: Tally, people: Floats | None, random: np.random.Generator, draws: int, method: Method, level: float
) -> Floats:
    """What is said of crowds (draws,) drawn from this one with replacement, person by person where they are known."""
    if people is not None:
        told, mean = people[:, 1 + _COLUMN[method]], crowd.mean(method)
        weights = random.multinomial(len(people), np.full(len(people), 1 / len(people)), size=draws)
        said = (weights @ told) / (weights @ people[:, 0])
        spread: Floats = mean + _expansion(len(people), level) * (said - mean)
        return spread
    if method == "decisions":
        return random.binomial(len(crowd), crowd.decided / len(crowd), size=draws) / len(crowd)
    there = crowd.counts > 0
    drawn: Floats = random.multinomial(len(crowd), crowd.counts[there] / len(crowd), size=draws) @ (
        crowd.sums[there] / crowd.counts[there]
    )
    return drawn / len(crowd)


def _simulated(
    crowd: Tally,
    people: Floats | None,
    reference: Reference,
    share: float,
    random: np.random.Generator,
    draws: int,
    method: Method,
) -> Floats:
    """What is said of crowds (draws,) with as many men as this one is estimated to have."""
    persons = len(crowd) if people is None else effective_persons(people)
    men = round(share * persons)
    total = np.zeros(draws)
    for scores, count in ((reference.male, men), (reference.female, persons - men)):
        said, chances = _sayings(scores, method, one_face=people is None)
        total += random.multinomial(count, chances, size=draws) @ said
    return total / persons


def _sayings(scores: ClassScores, method: Method, one_face: bool) -> tuple[Floats, Floats]:
    """What is said of a person of the class (K,), on one face or on the mean of several, and its chances (K,)."""
    if not one_face:
        return scores.units[:, _COLUMN[method]], scores.repeats / len(scores)
    if method == "decisions":
        decided = scores.mean("decisions")
        return np.array([0.0, 1.0]), np.array([1 - decided, decided])
    shares = scores.means[2:]
    # the bins' middles, moved so that their mean is that of the class
    values = _MIDDLES + (scores.mean("probabilities") - shares @ _MIDDLES)
    return values, shares / shares.sum()


def _expansion(units: int, level: float) -> float:
    """Factor by which draws of so few units must be spread."""
    if units < 2:
        return 1.0
    tail = (1 + level) / 2
    return float(special.stdtrit(units - 1, tail) / special.ndtri(tail)) * math.sqrt(units / (units - 1))


def _bins(probabilities: Floats) -> NDArray[np.intp]:
    with np.errstate(divide="ignore"):
        logits = np.clip(special.logit(np.clip(probabilities, 0.0, 1.0)), -_LARGEST_LOGIT, _LARGEST_LOGIT)
    bins: NDArray[np.intp] = np.minimum((logits + _LARGEST_LOGIT) / (2 * _LARGEST_LOGIT) * BINS, BINS - 1).astype(
        np.intp
    )
    return bins
