from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from gender_lightning.evaluation.statistics.curves import confusion_matrix, precision_recall_curve, roc_curve


def draw(seed: int, n: int, levels: int) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping classes; few levels give many equal scores."""
    generator = np.random.default_rng(seed)
    labels = (generator.random(n) < 0.42).astype(np.int8)
    labels[:2] = [0, 1]
    return labels, np.round(generator.normal(labels * 1.5, 1.0) * levels) / levels


@pytest.mark.parametrize(("n", "levels"), [(2, 1), (50, 1), (300, 3), (2000, 1000)])
def test_every_point_is_that_of_its_threshold(n: int, levels: int) -> None:
    labels, scores = draw(n, n, levels)
    for curve in (roc_curve(labels, scores), precision_recall_curve(labels, scores)):
        assert set(curve.thresholds) == {*scores, np.inf} and len(curve) == len(set(scores)) + 1
    curve = roc_curve(labels, scores)
    for threshold, x, y in zip(curve.thresholds, curve.x, curve.y, strict=True):
        decided = scores >= threshold
        assert x == pytest.approx(decided[labels == 0].mean()) and y == pytest.approx(decided[labels == 1].mean())
    curve = precision_recall_curve(labels, scores)
    for threshold, x, y in zip(curve.thresholds[:-1], curve.x, curve.y, strict=False):
        decided = scores >= threshold
        assert x == pytest.approx(decided[labels == 1].mean()) and y == pytest.approx(labels[decided].mean())
    assert (curve.x[-1], curve.y[-1]) == (0, 1)


def test_confusion_matrix_is_scikit_learns() -> None:
    labels, scores = draw(3, 500, 100)
    np.testing.assert_array_equal(
        confusion_matrix(labels, scores >= 0.5), metrics.confusion_matrix(labels, scores >= 0.5)
    )
    assert confusion_matrix([1, 1], [True, True]).tolist() == [[0, 0], [0, 2]]


def test_thinning_keeps_ends_and_area() -> None:
    labels, scores = draw(4, 5000, 10**6)
    whole = roc_curve(labels, scores)
    thin = whole.thinned(200)
    assert 100 < len(thin) <= 200
    assert (thin.x[0], thin.y[0], thin.x[-1], thin.y[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(thin.y, thin.x) == pytest.approx(metrics.roc_auc_score(labels, scores), abs=1e-3)
    assert whole.thinned(10**6) is whole


def test_a_curve_needs_its_classes() -> None:
    with pytest.raises(AssertionError, match="both classes"):
        roc_curve([1, 1], [0.1, 0.2])
    with pytest.raises(AssertionError, match="finite"):
        roc_curve([0, 1], [0.1, np.nan])
