"""Binary cross entropy with label smoothing and class weights."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from gender_lightning.errors import UserError


def smooth(targets: Tensor, amount: float) -> Tensor:
    """Moves targets towards one half: y (1 - s) + s / 2 (Szegedy et al. 2016, two classes).

    Args:
        targets: Float in [0, 1], any shape.
        amount: s in [0, 1).
    """
    return targets * (1 - amount) + amount / 2


def binary_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    *,
    label_smoothing: float = 0.0,
    class_weights: tuple[float, float] | None = None,
) -> Tensor:
    """Mean binary cross entropy of logits, computed in float32 at least.

    Args:
        logits: Float (B,), of the class male.
        targets: (B,), 1 male; any value in [0, 1] after MixUp or CutMix.
        label_smoothing: In [0, 1).
        class_weights: Factors of (female, male); a mixed target gets the mixture of both.

    Returns:
        Scalar; with weights the mean over images, not over weights, so that batches count alike.
    """
    assert logits.shape == targets.shape, (logits.shape, targets.shape)
    logits = logits.float() if logits.element_size() < 4 else logits
    targets = targets.to(logits.dtype)
    weight = None
    if class_weights is not None:
        female, male = class_weights
        weight = female + targets * (male - female)
    return F.binary_cross_entropy_with_logits(logits, smooth(targets, label_smoothing), weight)


def balanced_weights(class_counts: tuple[int, int]) -> tuple[float, float]:
    """Weights of (female, male) under which both classes count alike and the mean weight is one.

    Args:
        class_counts: Training images of (female, male).

    Raises:
        UserError: If a class has no image.
    """
    female, male = class_counts
    if female <= 0 or male <= 0:
        raise UserError(
            f"loss.class_weights=balanced needs images of both classes, but there are {female} female and "
            f"{male} male ones. Check the data, or set loss.class_weights=none."
        )
    total = female + male
    return total / (2 * female), total / (2 * male)
