"""What training reports of a split from its logits, and the two numbers that are fitted on valid."""

from __future__ import annotations

import logging
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from gender_lightning.evaluation.metric_list import Floats, log_losses, metrics_of, sigmoid

TEMPERATURE_RANGE = (0.05, 20.0)
_log = logging.getLogger(__name__)


def training_metrics() -> tuple[str, ...]:
    """Names of the metrics that are reported after every epoch."""
    return tuple(metric.name for metric in metrics_of(place="training"))


def classification_metrics(
    labels: ArrayLike | Tensor, logits: ArrayLike | Tensor, temperature: float = 1.0, threshold: float = 0.5
) -> dict[str, float]:
    """All of `training_metrics`.

    Args:
        labels: (N,), 1 male, 0 female.
        logits: (N,), of the class male.
        temperature: Divides the logits; changes `loss`, and the others where the threshold is not 0.5.
        threshold: An image is male from this probability on.

    Returns:
        Fractions in [0, 1], and `loss`, the mean log-loss in nats. `f1` is that of the class male. What needs
        a class that is absent is nan; a logit that is nan makes everything nan, since such a model decides
        nothing.
    """
    truth, scores = _labels(labels), _floats(logits) / temperature
    assert truth.shape == scores.shape, (truth.shape, scores.shape)
    if len(truth) == 0 or np.isnan(scores).any():
        return dict.fromkeys(training_metrics(), math.nan)
    cells = confusion_columns(truth, sigmoid(scores) >= threshold).sum(axis=0)
    found = {}
    for metric in metrics_of(place="training"):
        value = metric.formula(cells) if metric.kind == "decision" else metric.formula(truth, scores)
        found[metric.name] = float(np.mean(value))
    return found


def confusion_columns(labels: ArrayLike, decided: ArrayLike) -> Floats:
    """One-hot cell of the confusion matrix, (N, 4): male right, male wrong, female right, female wrong.

    Args:
        labels: (N,), 1 male, 0 female.
        decided: (N,), the same of the decision.
    """
    male, said = np.asarray(labels).astype(np.bool_), np.asarray(decided).astype(np.bool_)
    return np.stack([male & said, male & ~said, ~male & ~said, ~male & said], axis=1).astype(np.float64)


def probabilities(logits: ArrayLike | Tensor, temperature: float = 1.0) -> Floats:
    """Probabilities of the class male, (N,) in [0, 1]: sigmoid(logit / temperature)."""
    return sigmoid(_floats(logits) / temperature)


def log_loss(labels: NDArray[np.bool_], logits: Floats) -> float:
    """Mean of -log P(label), in nats; stable for any logit."""
    return float(log_losses(labels, logits).mean())


def fit_temperature(logits: ArrayLike | Tensor, labels: ArrayLike | Tensor) -> float:
    """The temperature in `TEMPERATURE_RANGE` with the least log-loss (Guo et al. 2017).

    The log-loss is convex in 1 / T, so it has a single valley in log T, which a bounded search (Brent) finds. Where no
    image is on the wrong side of 0 a lower temperature would always be better, and where all are a higher
    one; the data then say nothing about confidence and 1 is returned, as for logits that are not finite.

    Args:
        logits: (N,), of the class male.
        labels: (N,), 1 male.
    """
    scores, truth = _floats(logits), _labels(labels)
    if not len(scores) or not np.isfinite(scores).all():
        _log.warning("No temperature can be fitted to %d logits that are not all finite: it stays 1.", len(scores))
        return 1.0
    margins = np.where(truth, scores, -scores)
    if (margins >= 0).all() or (margins <= 0).all():
        return 1.0
    from scipy.optimize import minimize_scalar  # half a second of imports, for what happens once at the end

    bounds = tuple(math.log(bound) for bound in TEMPERATURE_RANGE)
    found = minimize_scalar(
        lambda log_t: log_loss(truth, scores / math.exp(log_t)),
        bounds=bounds,
        method="bounded",
        options={"xatol": 1e-6},
    )
    return math.exp(found.x)


def fit_threshold(probabilities: ArrayLike | Tensor, labels: ArrayLike | Tensor) -> float:
    """The threshold with the highest balanced accuracy: half way between two neighbouring probabilities.

    Of several that are equally good, the one nearest 0.5; 0.5 where a class is absent or a value is nan.

    Args:
        probabilities: (N,), of the class male, in [0, 1].
        labels: (N,), 1 male.
    """
    values, truth = _floats(probabilities), _labels(labels)
    males = int(truth.sum())
    if not males or males == len(truth) or np.isnan(values).any():
        return 0.5
    levels, place = np.unique(values, return_inverse=True)
    males_at = np.bincount(place[truth], minlength=len(levels))
    females_at = np.bincount(place[~truth], minlength=len(levels))
    # threshold k lies below level k: levels from k on are male
    recall_male = 1 - np.concatenate([[0], np.cumsum(males_at)]) / males
    recall_female = np.concatenate([[0], np.cumsum(females_at)]) / (len(truth) - males)
    edges = np.concatenate([[0.0], levels, [1.0]])
    thresholds = (edges[:-1] + edges[1:]) / 2
    balanced = recall_male + recall_female
    best = thresholds[balanced >= balanced.max() - 1e-12]
    return float(best[np.abs(best - 0.5).argmin()])


def _floats(values: ArrayLike | Tensor) -> Floats:
    return np.asarray(_plain(values), dtype=np.float64).reshape(-1)


def _labels(values: ArrayLike | Tensor) -> NDArray[np.bool_]:
    labels = np.asarray(_plain(values)).reshape(-1)
    assert np.isin(labels, (0, 1)).all(), "labels are 0 or 1"
    return labels.astype(np.bool_)


def _plain(values: Any) -> Any:
    # numpy has no bfloat16
    return values.detach().double().cpu().numpy() if isinstance(values, Tensor) else values
