"""Metrics as functions of totals over images, which is what a bootstrap of many resamples needs.

Every function of totals takes any leading axes, so that 10,000 resamples are one call.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gender_lightning.evaluation.metrics import auroc, probabilities
from gender_lightning.evaluation.statistics.proportions import Floats

DECISION_METRICS = (
    "accuracy", "balanced_accuracy", "recall_male", "recall_female", "precision_male", "precision_female", "f1", "mcc",
)  # fmt: skip
RANKING_METRICS = ("auroc", "average_precision")
_BINS = 256  # of a histogram of scores


@dataclass(frozen=True)
class Tally:
    """Columns per image, and the metrics of their totals.

    Attributes:
        names: Of the M metrics.
        columns: (N, K), numbers of any type.
        metric: Totals (..., K) to metrics (..., M).
    """

    names: tuple[str, ...]
    columns: NDArray[Any]
    metric: Callable[[Floats], Floats]


def decision_columns(labels: ArrayLike, decided: ArrayLike) -> Floats:
    """One-hot cell of the confusion matrix, (N, 4): male right, male wrong, female right, female wrong.

    Args:
        labels: (N,), 1 male, 0 female.
        decided: (N,), the same of the decision.
    """
    male, said = np.asarray(labels).astype(np.bool_), np.asarray(decided).astype(np.bool_)
    return np.stack([male & said, male & ~said, ~male & ~said, ~male & said], axis=1).astype(np.float64)


def decision_metrics(totals: Floats) -> Floats:
    """`DECISION_METRICS` (..., 8) of a confusion matrix (..., 4); nan where a class is absent.

    As in scikit-learn, but for what divides by 0: nan here. `f1` is that of male; `mcc` is Matthews' correlation.
    """
    male_right, male_wrong, female_right, female_wrong = np.moveaxis(totals, -1, 0)
    males, females = male_right + male_wrong, female_right + female_wrong
    said_male, said_female = male_right + female_wrong, female_right + male_wrong
    with np.errstate(divide="ignore", invalid="ignore"):
        recall_male, recall_female = male_right / males, female_right / females
        f1 = np.where(males > 0, 2 * male_right / (said_male + males), np.nan)
        # factors are divided one by one: the product of four large counts would lose digits
        mcc = (male_right * female_right - male_wrong * female_wrong) / (
            np.sqrt(males) * np.sqrt(females) * np.sqrt(said_male) * np.sqrt(said_female)
        )
        parts = [
            (male_right + female_right) / (males + females),
            (recall_male + recall_female) / 2,
            recall_male,
            recall_female,
            male_right / said_male,
            female_right / said_female,
            f1,
            mcc,
        ]
    return np.stack(parts, axis=-1)


def decision_tally(labels: ArrayLike, probability: ArrayLike, threshold: float = 0.5) -> Tally:
    """Metrics of the decision that an image is male from `threshold` on."""
    decided = np.asarray(probability) >= threshold
    return Tally(DECISION_METRICS, decision_columns(labels, decided), decision_metrics)


def ranking_tally(labels: ArrayLike, scores: ArrayLike) -> Tally:
    """AUROC and average precision of male, from a histogram of each class over runs of the sorted scores.

    AUROC needs to know only which males lie between which females, so runs of one class are put together; where
    there are more than `_BINS` runs, neighbours are, and the small error that this makes for the images as they are
    is taken off from every resample.
    """
    male = np.asarray(labels).astype(np.bool_)
    values = np.asarray(scores, dtype=np.float64)
    bins, number = _runs(male, values)
    columns = np.zeros((len(male), 2 * number), dtype=np.uint8)
    columns[np.arange(len(male)), bins + number * male] = 1
    exact = np.array([auroc(male, values), average_precision(male, values)])
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = exact - _histogram_metrics(columns.sum(axis=0, dtype=np.float64))

    def metric(totals: Floats) -> Floats:
        return np.clip(_histogram_metrics(totals) + shift, 0.0, 1.0)

    return Tally(RANKING_METRICS, columns, metric)


def loss_tally(labels: ArrayLike, logits: ArrayLike, temperature: float = 1.0) -> Tally:
    """Mean log-loss (nats) before and after the temperature, and Brier score after it, each the less the better."""
    male, values = np.asarray(labels).astype(np.bool_), np.asarray(logits, dtype=np.float64)
    away = np.where(male, -values, values)
    brier = (probabilities(values, temperature) - male) ** 2
    losses = [np.logaddexp(0.0, away / temperature), np.logaddexp(0.0, away), brier, np.ones(len(male))]
    names = ("loss", "loss_uncalibrated", "brier")
    return Tally(names, np.stack(losses, axis=1), lambda totals: totals[..., :-1] / totals[..., -1:])


def _runs(male: NDArray[np.bool_], scores: Floats) -> tuple[NDArray[np.intp], int]:
    """Bin of each image, (N,), rising with the score; equal scores share one. And the number of bins."""
    levels, place = np.unique(scores, return_inverse=True)
    males = np.bincount(place, male, minlength=len(levels))
    females = np.bincount(place, ~male, minlength=len(levels))
    kind = np.where(females == 0, 1, np.where(males == 0, 0, 2))
    new = np.r_[False, (kind[1:] != kind[:-1]) | (kind[1:] == 2)]
    run = np.cumsum(new)
    number = int(run[-1]) + 1
    if number > _BINS:
        # finer at the top, where precision jumps from image to image
        depth = np.sqrt((number - 1 - run) / number)
        run = np.unique(-np.floor(depth * _BINS), return_inverse=True)[1]
        number = int(run[-1]) + 1
    return run[place].astype(np.intp), number


def _histogram_metrics(totals: Floats) -> Floats:
    """AUROC and average precision (..., 2) of histograms (..., 2 B), females first, by rising score."""
    females, males = np.split(totals, 2, axis=-1)
    all_females, all_males = females.sum(axis=-1), males.sum(axis=-1)
    below = np.cumsum(females, axis=-1) - females / 2
    area = (males * below).sum(axis=-1) / (all_females * all_males)
    # in the middle of a bin half of its images are counted
    found = all_males[..., None] - np.cumsum(males, axis=-1) + males / 2
    false = all_females[..., None] - below
    precision = np.where(males > 0, found / np.maximum(found + false, 1e-12), 0.0)
    return np.stack([area, (males * precision).sum(axis=-1) / all_males], axis=-1)


def average_precision(male: NDArray[np.bool_], scores: Floats) -> float:
    """Sum over recall steps of the precision there, as scikit-learn's `average_precision_score`; (N,), (N,)."""
    if not male.any():
        return float("nan")
    levels, place = np.unique(-scores, return_inverse=True)
    males = np.bincount(place, male, minlength=len(levels))
    images = np.cumsum(np.bincount(place, minlength=len(levels)))
    return float((males * np.cumsum(males) / images).sum() / males.sum())
