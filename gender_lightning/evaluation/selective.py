"""Selective prediction: how much better a model is on the images that it is sure of, and where to abstain.

Pure functions of labels and logits (or probabilities): `evaluate` reports with them, `predict` abstains with them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gender_lightning.evaluation.metrics import probabilities
from gender_lightning.evaluation.statistics.proportions import DesignEffect, Floats, effective_size, proportion

ERROR_RATE = 0.05  # of the guarantee: it fails for so many of the valid splits that might have been drawn
_STARTS = 2
_STEPS = 40


@dataclass(frozen=True)
class Abstention:
    """The confidence below which to abstain, so that what is decided is right often enough.

    Attributes:
        target_accuracy: Wanted among the images that are decided.
        error_rate: Chance that the choice misses the target, over draws of the images it was chosen on.
        min_confidence: Decide from this confidence on; 0 where no image needs to be left out; None where the
            images are too few, or too often wrong, to guarantee the target at any confidence.
        images: It was chosen on so many images.
        decided: Number of those at or above `min_confidence`.
        errors: Number of those decided that are wrong.
    """

    target_accuracy: float
    error_rate: float
    min_confidence: float | None
    images: int
    decided: int
    errors: int

    @property
    def coverage(self) -> float:
        """Share of the images it was chosen on that are decided."""
        return self.decided / self.images if self.images else math.nan


@dataclass(frozen=True)
class Selected:
    """What is left of a split when the model abstains below a confidence.

    Attributes:
        min_confidence: Decide from here on.
        decided: Number of images.
        coverage: Share that is decided; of the males and of the females below.
        accuracy: Among the decided; nan where none is.
    """

    min_confidence: float
    decided: int
    coverage: float
    coverage_male: float
    coverage_female: float
    accuracy: float


@dataclass(frozen=True)
class RiskCoverage:
    """Error rate among the surest images, for every number of them.

    Attributes:
        coverage: (P,) rising to 1: share of the images that are decided.
        risk: (P,): share of wrong decisions among those.
        min_confidence: (P,) falling: the confidence from which on they are decided.
        aurc: Area under risk over coverage (Geifman and El-Yaniv 2017), the mean of the risks over all numbers
            of images; the less the better.
        aurc_of_oracle: The same area for the decisions in the best order, all right ones first.
    """

    coverage: Floats
    risk: Floats
    min_confidence: Floats
    aurc: float
    aurc_of_oracle: float

    def coverage_at(self, accuracy: float) -> float:
        """The largest coverage with at least this accuracy; 0 where there is none."""
        kept = self.coverage[1 - self.risk >= accuracy - 1e-12]
        return float(kept.max()) if len(kept) else 0.0

    def confidence_at(self, accuracy: float) -> float | None:
        """The confidence that belongs to `coverage_at`; None where there is none."""
        kept = np.flatnonzero(1 - self.risk >= accuracy - 1e-12)
        return float(self.min_confidence[kept[-1]]) if len(kept) else None


def confidence(probability: ArrayLike, threshold: float = 0.5) -> Floats:
    """How sure a decision is: the probability of the class that was decided, (N,); at 0.5 never below 0.5.

    Args:
        probability: (N,), of male, calibrated.
        threshold: An image is male from here on.
    """
    male = np.asarray(probability, dtype=np.float64)
    return np.where(male >= threshold, male, 1 - male)


def choose_abstention(
    labels: ArrayLike,
    logits: ArrayLike,
    temperature: float,
    target_accuracy: float,
    *,
    clusters: NDArray[np.int64] | None = None,
    threshold: float = 0.5,
    error_rate: float = ERROR_RATE,
) -> Abstention:
    """The lowest confidence from which on a wanted accuracy is guaranteed.

    Learn then Test (Angelopoulos et al. 2021) with fixed sequences from several starts, which are numbers of surest
    images. From there on more images are let in, step by step, as long as the lower bound of their accuracy reaches
    the target at level ``error_rate / starts``. The bound is that of `proportions.proportion`, over persons; where the
    surest images have too few errors to show how much persons matter, it is taken from all images. With probability
    ``1 - error_rate`` over the persons given, the accuracy on further persons like them, of the confidence chosen or
    above, is at least the target. Of images of another kind nothing is known.

    Args:
        labels: (N,), 1 male, 0 female; of images that were not trained on, such as valid.
        logits: (N,), of male.
        temperature: The checkpoint's.
        target_accuracy: Wanted accuracy of the images that are decided, in (0, 1).
        clusters: (N,), which images are of one person, as from `clusters_of`; None takes images as independent.
        threshold: An image is male from this probability on.
        error_rate: Probability that the promise is broken, in (0, 1).
    """
    assert 0 < target_accuracy < 1 and 0 < error_rate < 1, (target_accuracy, error_rate)
    probability = probabilities(logits, temperature)
    assert len(probability) == np.asarray(labels).size
    levels, decided, errors = _by_confidence(labels, probability, threshold)
    total = int(decided[-1]) if len(decided) else 0
    order = np.argsort(-confidence(probability, threshold), kind="stable")
    right = ((probability >= threshold) == np.asarray(labels).reshape(-1).astype(np.bool_))[order]
    persons = (np.arange(total) if clusters is None else np.asarray(clusters))[order]
    bound = _Bound(right, persons, 1 - 2 * error_rate / _STARTS)
    chosen = -1
    for start in _starts(total, target_accuracy, error_rate / _STARTS, bound.per_image):
        chosen = max(chosen, _follow(start, decided, target_accuracy, bound))
    if chosen < 0:
        return Abstention(target_accuracy, error_rate, None, total, 0, 0)
    everything = chosen == len(levels) - 1
    least = 0.0 if everything else float(levels[chosen])
    return Abstention(target_accuracy, error_rate, least, total, int(decided[chosen]), int(errors[chosen]))


@dataclass(frozen=True)
class _Bound:
    """Lower bounds of the accuracy of the surest images; all (N,), the surest first."""

    right: NDArray[np.bool_]
    persons: NDArray[np.int64]
    level: float  # two-sided: each end fails half as often as both

    @cached_property
    def effect(self) -> DesignEffect | None:
        """The design effect of all images."""
        return DesignEffect.of(self.right, self.persons)

    @property
    def per_image(self) -> float:
        """How many independent images one of these is worth."""
        return effective_size(self.right, self.persons, self.level) / len(self.right) if len(self.right) else 1.0

    def of(self, number: int) -> float:
        """Lower bound for so many of the surest images; nan where they are of too few persons."""
        return proportion(self.right[:number], self.persons[:number], level=self.level, like=self.effect).low


def select(labels: ArrayLike, probability: ArrayLike, min_confidence: float, *, threshold: float = 0.5) -> Selected:
    """Coverage and accuracy of abstaining below a confidence; labels and probabilities of male, both (N,)."""
    male, values = np.asarray(labels).astype(np.bool_), np.asarray(probability, dtype=np.float64)
    kept = confidence(values, threshold) >= min_confidence
    right = (values >= threshold) == male
    return Selected(
        min_confidence=min_confidence,
        decided=int(kept.sum()),
        coverage=_mean(kept),
        coverage_male=_mean(kept[male]),
        coverage_female=_mean(kept[~male]),
        accuracy=_mean(right[kept]),
    )


def risk_coverage(labels: ArrayLike, probability: ArrayLike, threshold: float = 0.5) -> RiskCoverage:
    """The curve of a split; images of equal confidence come in together.

    Args:
        labels: (N,), 1 male, 0 female; at least one.
        probability: (N,), of male.
        threshold: An image is male from here on.
    """
    levels, decided, errors = _by_confidence(labels, np.asarray(probability, dtype=np.float64), threshold)
    assert len(levels), "a curve needs images"
    total, wrong = int(decided[-1]), int(errors[-1])
    # inside a tie the errors are spread evenly, as over a random order
    numbers = np.arange(1, total + 1)
    expected = np.interp(numbers, np.r_[0, decided], np.r_[0, errors])
    best = np.maximum(0, numbers - (total - wrong))
    return RiskCoverage(
        coverage=decided / total,
        risk=errors / decided,
        min_confidence=levels,
        aurc=float((expected / numbers).mean()),
        aurc_of_oracle=float((best / numbers).mean()),
    )


def _by_confidence(
    labels: ArrayLike, probability: Floats, threshold: float
) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64]]:
    """Confidences that occur, from the highest down, and how many images reach each, and how many of those err."""
    male = np.asarray(labels).reshape(-1).astype(np.bool_)
    wrong = (probability >= threshold) != male
    levels, place = np.unique(-confidence(probability, threshold), return_inverse=True)
    counts = np.bincount(place, minlength=len(levels))
    errors = np.bincount(place, wrong, minlength=len(levels)).astype(np.int64)
    return -levels, np.cumsum(counts), np.cumsum(errors)


def _starts(total: int, target: float, level: float, per_image: float) -> list[int]:
    """Numbers of surest images to begin with.

    The fewest that could pass, if all are right; and half way from there to all, where some may be wrong: a single
    wrong label among the surest images stops the first sequence.
    """
    fewest = math.ceil(math.log(level) / math.log(target) / per_image)
    return [fewest, (fewest + total) // 2] if fewest <= total else []


def _follow(start: int, decided: NDArray[np.int64], target: float, bound: _Bound) -> int:
    """Place of the last level in a row, from `start` images on, whose accuracy is bounded well; -1 for none."""
    chosen = -1
    for number in np.unique(np.linspace(start, int(decided[-1]), _STEPS).round().astype(int)):
        place = int(np.searchsorted(decided, number))
        if not bound.of(int(decided[place])) >= target:  # nor where it is nan
            break
        chosen = place
    return chosen


def _mean(values: NDArray[np.bool_]) -> float:
    return float(values.mean()) if len(values) else math.nan
