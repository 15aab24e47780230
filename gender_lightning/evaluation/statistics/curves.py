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
        """The curve with at most `limit` (>= 2) of its points, evenly along it, both ends among them."""
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
    """Receiver operating characteristic of the class male, by scikit-learn.

    Args:
        labels: (N,), 1 male, 0 female; both must occur.
        scores: (N,), finite; any increasing function of P(male). Equal scores share one point.

    Returns:
        From (0, 0), at an infinite threshold, to (1, 1).
    """
    from sklearn import metrics

    truth, values = _checked(labels, scores)
    assert 0 < truth.sum() < len(truth), "a ROC curve needs both classes"
    return Curve(*metrics.roc_curve(truth, values, drop_intermediate=False))


def precision_recall_curve(labels: ArrayLike, scores: ArrayLike) -> Curve:
    """Precision over recall of the class male, by scikit-learn.

    Args:
        labels: (N,), 1 male, 0 female; a male must occur.
        scores: See `roc_curve`.

    Returns:
        From recall 1, all images taken for male, to (0, 1), at an infinite threshold.
    """
    from sklearn import metrics

    truth, values = _checked(labels, scores)
    assert truth.any(), "a precision-recall curve needs the class male"
    precision, recall, thresholds = metrics.precision_recall_curve(truth, values)
    return Curve(recall, precision, np.concatenate([thresholds, [np.inf]]))


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


def _checked(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.int64], Floats]:
    truth = np.asarray(labels).astype(np.int64).reshape(-1)
    values = np.asarray(scores).astype(np.float64).reshape(-1)
    assert truth.shape == values.shape, (truth.shape, values.shape)
    assert len(truth) > 0, "a curve needs images"
    assert np.isfinite(values).all(), "scores must be finite"
    return truth, values
