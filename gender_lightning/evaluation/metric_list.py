"""Every metric once: its name in files and on dashboards, its words for people, and its formula.

Training, `metrics.json`, dashboards, evaluation, comparison, pages and the model card read `METRICS`: a metric that is
added here is found in all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Kind = Literal["decision", "ranking", "loss"]
Place = Literal["training", "evaluation", "comparison", "table"]
Cells = tuple[tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        name: Name in files, on dashboards and in `callbacks.checkpoint.monitor`: `recall_male` of `val/recall_male`.
        label: Name in tables that people read.
        kind: What the formula takes. `decision`: totals of the confusion matrix (..., 4), in the order male right, male
            wrong, female right, female wrong; any leading axes. `ranking`: labels (N,) bool and scores (N,). `loss`:
            labels (N,) bool and calibrated logits (N,), to one value per image, whose mean is the metric.
        formula: To float64 (...), a float, or (N,), by `kind`; nan where a class is absent.
        histogram: For `ranking`: the same of histograms (..., 2 B), females first, by rising score, so that thousands
            of resamples are one call; without it the metric has no interval.
        proportion: For `decision`: which totals are the hits and which the whole, where the metric is a proportion.
        better: Direction.
        places: Where it is reported. `training`: after every epoch, in `metrics.json` and on dashboards; `evaluation`;
            `comparison`: `comparison.json`; `table`: the main table of `compare`.
    """

    name: str
    label: str
    kind: Kind
    formula: Callable[..., Any]
    histogram: Callable[[Floats], Floats] | None = None
    proportion: Cells | None = None
    better: Literal["max", "min"] = "max"
    places: frozenset[Place] = frozenset({"training", "evaluation", "comparison", "table"})


def metrics_of(*kinds: Kind, place: Place | None = None) -> tuple[Metric, ...]:
    """The metrics of some kinds (of all, without any), of one place of reporting where it is named, in their order."""
    return tuple(
        metric
        for metric in METRICS
        if (not kinds or metric.kind in kinds) and (place is None or place in metric.places)
    )


def label_of(name: str) -> str:
    """A metric in words; the name itself where the list has none, as in a received evaluation of another version."""
    return next((metric.label for metric in METRICS if metric.name == name), name)


def proportion_of(cells: Cells) -> Callable[[Floats], Floats]:
    """The formula of a proportion of the totals of a confusion matrix; nan where the whole is empty."""
    hits, whole = (list(part) for part in cells)

    def share(totals: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            result: Floats = totals[..., hits].sum(axis=-1) / totals[..., whole].sum(axis=-1)
        return result

    return share


def balanced_accuracy(totals: Floats) -> Floats:
    """Mean of both recalls."""
    return (proportion_of(_RECALL_MALE)(totals) + proportion_of(_RECALL_FEMALE)(totals)) / 2


def f1(totals: Floats) -> Floats:
    """F1 of the class male."""
    male_right, male_wrong, _, female_wrong = np.moveaxis(totals, -1, 0)
    males = male_right + male_wrong
    with np.errstate(divide="ignore", invalid="ignore"):
        result: Floats = np.where(males > 0, 2 * male_right / (male_right + female_wrong + males), np.nan)
    return result


def matthews_correlation(totals: Floats) -> Floats:
    """Correlation of label and decision, in [-1, 1] (Matthews 1975)."""
    male_right, male_wrong, female_right, female_wrong = np.moveaxis(totals, -1, 0)
    sides = (male_right + male_wrong, female_right + female_wrong, male_right + female_wrong, female_right + male_wrong)
    with np.errstate(divide="ignore", invalid="ignore"):
        # roots are multiplied: the product of four large counts would lose digits
        scale = np.sqrt(sides[0]) * np.sqrt(sides[1]) * np.sqrt(sides[2]) * np.sqrt(sides[3])
        result: Floats = (male_right * female_right - male_wrong * female_wrong) / scale
    return result


def auroc(labels: NDArray[np.bool_], scores: Floats) -> float:
    """Chance that a male image scores above a female one, ties counting half (Mann and Whitney 1947)."""
    males = int(labels.sum())
    females = len(labels) - males
    if not males or not females:
        return math.nan
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return float((ranks[labels].sum() - males * (males + 1) / 2) / (males * females))


def average_precision(labels: NDArray[np.bool_], scores: Floats) -> float:
    """Sum over recall steps of the precision there, as scikit-learn's `average_precision_score`."""
    if not labels.any():
        return math.nan
    levels, place = np.unique(-scores, return_inverse=True)
    males = np.bincount(place, labels, minlength=len(levels))
    images = np.cumsum(np.bincount(place, minlength=len(levels)))
    return float((males * np.cumsum(males) / images).sum() / males.sum())


def auroc_of_histogram(totals: Floats) -> Floats:
    """AUROC (...) of histograms (..., 2 B); images of one bin count as ties."""
    females, males, below, _ = _ranked(totals)
    result: Floats = (males * below).sum(axis=-1) / (females.sum(axis=-1) * males.sum(axis=-1))
    return result


def average_precision_of_histogram(totals: Floats) -> Floats:
    """Average precision (...) of histograms (..., 2 B); in the middle of a bin half of its images are counted."""
    females, males, below, found = _ranked(totals)
    false = females.sum(axis=-1)[..., None] - below
    precision = np.where(males > 0, found / np.maximum(found + false, 1e-12), 0.0)
    result: Floats = (males * precision).sum(axis=-1) / males.sum(axis=-1)
    return result


def log_losses(labels: NDArray[np.bool_], logits: Floats) -> Floats:
    """-log P(label) of each image, nats; stable for any logit."""
    result: Floats = np.logaddexp(0.0, np.where(labels, -logits, logits))
    return result


def squared_errors(labels: NDArray[np.bool_], logits: Floats) -> Floats:
    """Squared error of each image's probability, whose mean is the Brier score."""
    result: Floats = (sigmoid(logits) - labels) ** 2
    return result


def sigmoid(logits: Floats) -> Floats:
    """1 / (1 + exp(-z)), without overflow."""
    small = np.exp(-np.abs(logits))
    result: Floats = np.where(logits >= 0, 1.0, small) / (1 + small)
    return result


def _ranked(totals: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Females and males of each bin, females below its middle, and males above it."""
    females, males = np.split(totals, 2, axis=-1)
    below = np.cumsum(females, axis=-1) - females / 2
    found = males.sum(axis=-1)[..., None] - np.cumsum(males, axis=-1) + males / 2
    return females, males, below, found


_ACCURACY: Cells = ((0, 2), (0, 1, 2, 3))
_RECALL_MALE: Cells = ((0,), (0, 1))
_RECALL_FEMALE: Cells = ((2,), (2, 3))
_PRECISION_MALE: Cells = ((0,), (0, 3))
_PRECISION_FEMALE: Cells = ((2,), (1, 2))
_EVERYWHERE: frozenset[Place] = frozenset({"training", "evaluation", "comparison", "table"})
_NOT_IN_TABLE: frozenset[Place] = _EVERYWHERE - {"table"}
_TRAINED: frozenset[Place] = frozenset({"training", "evaluation"})
_EVALUATED: frozenset[Place] = frozenset({"evaluation"})


def _proportion(name: str, label: str, cells: Cells, places: frozenset[Place] = _EVERYWHERE) -> Metric:
    return Metric(name, label, "decision", proportion_of(cells), proportion=cells, places=places)


METRICS: tuple[Metric, ...] = (
    _proportion("accuracy", "accuracy", _ACCURACY),
    Metric("balanced_accuracy", "balanced accuracy", "decision", balanced_accuracy, places=_NOT_IN_TABLE),
    _proportion("recall_male", "recall, male", _RECALL_MALE),
    _proportion("recall_female", "recall, female", _RECALL_FEMALE),
    _proportion("precision_male", "precision, male", _PRECISION_MALE, _EVALUATED),
    _proportion("precision_female", "precision, female", _PRECISION_FEMALE, _EVALUATED),
    Metric("f1", "F1, male", "decision", f1, places=_TRAINED),
    Metric("mcc", "Matthews correlation", "decision", matthews_correlation, places=_EVALUATED),
    Metric("auroc", "AUROC", "ranking", auroc, auroc_of_histogram),
    Metric(
        "average_precision", "average precision, male", "ranking", average_precision, average_precision_of_histogram,
        places=_EVALUATED,
    ),
    Metric("loss", "log-loss", "loss", log_losses, better="min", places=_TRAINED),
    Metric("brier", "Brier score", "loss", squared_errors, better="min", places=_EVALUATED),
)  # fmt: skip
