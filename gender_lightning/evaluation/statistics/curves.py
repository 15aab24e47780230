"""ROC and precision-recall curves and the confusion matrix, from labels and scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """Points of a curve, one for each threshold; all three float64 (P,).

    Attributes:
        x: False positive rate (ROC) or recall, in [0, 1].
        y: True positive rate (ROC) or precision, in [0, 1].
        thresholds: An image is male from this score on; falling along a ROC, rising along precision-recall.
    """

    x: Floats
    y: Floats
    thresholds: Floats

    def __len__(self) -> int:
        return len(self.x)

    def thinned(self, limit: int) -> Curve:
        """At most `limit` (>= 2) of the points, evenly along the curve, both ends among them."""
        assert limit >= 2
        if len(self) <= limit:
            return self
        # Evenly by arc length, not by number: the points crowd where nothing bends.
        steps = np.abs(np.diff(self.x)) + np.abs(np.diff(self.y))
        length = np.concatenate([[0.0], np.cumsum(steps)])
        kept = np.searchsorted(length, np.linspace(0.0, length[-1], limit))
        kept = np.unique(np.concatenate([[0], kept[1:-1], [len(self) - 1]]))
        return Curve(self.x[kept], self.y[kept], self.thresholds[kept])


def roc_curve(labels: ArrayLike, scores: ArrayLike) -> Curve:
    """Receiver operating characteristic of the class male.

    Args:
        labels: (N,), 1 male, 0 female; both must occur.
        scores: (N,), finite; any increasing function of P(male). Equal scores share one point.

    Returns:
        From (0, 0), at an infinite threshold, to (1, 1); as ``sklearn.metrics.roc_curve(...,
        drop_intermediate=False)``.
    """
    males, females, thresholds = _cumulative_counts(labels, scores)
    assert min(males[-1], females[-1]) > 0, "a ROC curve needs both classes"
    start = np.zeros(1)
    return Curve(
        np.concatenate([start, females / females[-1]]),
        np.concatenate([start, males / males[-1]]),
        np.concatenate([[np.inf], thresholds]),
    )


def precision_recall_curve(labels: ArrayLike, scores: ArrayLike) -> Curve:
    """Precision over recall of the class male.

    Args:
        labels: (N,), 1 male, 0 female; a male must occur.
        scores: As for `roc_curve`.

    Returns:
        From recall 1, all images taken for male, to (0, 1), at an infinite threshold; as
        ``sklearn.metrics.precision_recall_curve``.
    """
    males, females, thresholds = _cumulative_counts(labels, scores)
    assert males[-1] > 0, "a precision-recall curve needs the class male"
    return Curve(
        np.concatenate([(males / males[-1])[::-1], [0.0]]),
        np.concatenate([(males / (males + females))[::-1], [1.0]]),
        np.concatenate([thresholds[::-1], [np.inf]]),
    )


def confusion_matrix(labels: ArrayLike, decided: ArrayLike) -> NDArray[np.int64]:
    """Count images by class and by what was decided.

    Args:
        labels: (N,), 1 male, 0 female.
        decided: (N,), the same of the decision.

    Returns:
        int64 (2, 2): [label, decision].
    """
    pairs = 2 * np.asarray(labels).astype(np.int64) + np.asarray(decided).astype(np.int64)
    return np.bincount(pairs.reshape(-1), minlength=4).reshape(2, 2).astype(np.int64)


def _cumulative_counts(labels: ArrayLike, scores: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Males and females that score at least t, for every score t that occurs, from the highest down."""
    truth = np.asarray(labels).astype(np.int64).reshape(-1)
    values = np.asarray(scores).astype(np.float64).reshape(-1)
    assert truth.shape == values.shape, (truth.shape, values.shape)
    assert len(truth) > 0, "a curve needs images"
    assert np.isfinite(values).all(), "scores must be finite"
    order = np.argsort(-values, kind="stable")
    truth, values = truth[order], values[order]
    last = np.concatenate([np.flatnonzero(np.diff(values)), [len(values) - 1]])  # of each run of equal scores
    males = np.cumsum(truth)[last].astype(np.float64)
    return males, last + 1.0 - males, values[last]
