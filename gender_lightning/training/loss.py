"""The losses of `conf/loss/`: one function per name.

A new loss is a section in `config/sections.py`, a function here under the section's name, and a file in `conf/loss/`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gender_lightning.errors import UserError

if TYPE_CHECKING:
    from gender_lightning.config import LossConfig

# Maps logits float32 (B,), targets in [0, 1] (B,), a weight per image (B,) or None, and the section to a scalar: the
# mean over images (not over weights, so that all batches count the same).
LossFunction = Callable[[Tensor, Tensor, Tensor | None, Any], Tensor]


def bce(logits: Tensor, targets: Tensor, weights: Tensor | None, section: Any) -> Tensor:
    """Mean binary cross-entropy."""
    return F.binary_cross_entropy_with_logits(logits, targets, weights)


def focal(logits: Tensor, targets: Tensor, weights: Tensor | None, section: Any) -> Tensor:
    """Mean focal loss: cross-entropy times |y - p| ** gamma.

    For hard targets the factor is (1 - p_t) ** gamma (Lin et al. 2017); for soft ones it is that of Li et al. (2020),
    "Generalized Focal Loss".
    """
    cross_entropy = F.binary_cross_entropy_with_logits(logits, targets, weights, reduction="none")
    modulated: Tensor = cross_entropy * (targets - torch.sigmoid(logits)).abs() ** section.gamma
    return modulated.mean()


LOSSES: Mapping[str, LossFunction] = {"bce": bce, "focal": focal}


class Criterion(nn.Module):
    """The loss of a training: label smoothing, class weights and float32 around the loss chosen by name.

    It is a module so that a loss with a state of its own (the group weights of group DRO) can keep that as a buffer in
    `last.ckpt`. A further signal of a batch, such as its groups or a teacher's logits, is a further argument.

    Args:
        section: The loss and its settings.
        class_counts: Number of training images of (female, male); needed for balanced class weights.

    Raises:
        UserError: Class weights are to be balanced, but a class has no image.
    """

    def __init__(self, section: LossConfig, class_counts: tuple[int, int] | None = None) -> None:
        super().__init__()
        self.section = section
        self.class_weights: tuple[float, float] | None = None
        if section.class_weights == "balanced":
            assert class_counts is not None
            self.class_weights = balanced_weights(class_counts)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The scalar loss of a batch.

        Args:
            logits: Logits of class male, float (B,); the computation is in float32 or wider.
            targets: 1 for male, (B,); any value in [0, 1] after MixUp or CutMix, with a mixture of both weights.
        """
        assert logits.shape == targets.shape, (logits.shape, targets.shape)
        logits = logits.float() if logits.element_size() < 4 else logits
        targets = targets.to(logits.dtype)
        weights = None
        if self.class_weights is not None:
            female, male = self.class_weights
            weights = female + targets * (male - female)
        smoothed = smooth(targets, self.section.label_smoothing)
        return LOSSES[self.section.name](logits, smoothed, weights, self.section)


def smooth(targets: Tensor, amount: float) -> Tensor:
    """Move targets towards one half: y (1 - s) + s / 2 (Szegedy et al. 2016, for two classes).

    Args:
        targets: Float in [0, 1], any shape.
        amount: s in [0, 1).
    """
    return targets * (1 - amount) + amount / 2


def balanced_weights(class_counts: tuple[int, int]) -> tuple[float, float]:
    """Weights of (female, male) under which both classes count equally and the mean weight over images is one.

    Args:
        class_counts: Number of training images of (female, male).

    Raises:
        UserError: A class has no image.
    """
    female, male = class_counts
    if female <= 0 or male <= 0:
        raise UserError(
            f"loss.class_weights=balanced needs images of both classes, but there are {female} female and "
            f"{male} male ones.",
            "Check the data, or set loss.class_weights=none.",
            field="loss.class_weights",
        )
    total = female + male
    return total / (2 * female), total / (2 * male)
