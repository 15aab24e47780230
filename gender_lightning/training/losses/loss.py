"""The losses of `conf/loss/`: one function per name.

A new loss is a section in `config/sections.py`, a function here under the section's name, and a file in `conf/loss/`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gender_lightning.errors import UserError
from gender_lightning.evaluation.subgroups.group_metrics import key_of
from gender_lightning.training.losses.group_dro import GroupDro

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


# Group DRO is cross-entropy whose weights change; see `GroupDro`. Distillation has it for its share of the labels.
LOSSES: Mapping[str, LossFunction] = {"bce": bce, "focal": focal, "group_dro": bce, "distill": bce}


def distillation(logits: Tensor, teacher: Tensor, weights: Tensor | None, temperature: float) -> Tensor:
    """Mean divergence of the student's answer from the teacher's, both softened (Hinton et al. 2015, section 2).

    It is T^2 KL(sigmoid(teacher / T) || sigmoid(logits / T)), the sum over both classes; the factor keeps the gradient
    of the same size for every T.

    Args:
        logits: The student's, float (B,).
        teacher: The teacher's, float (B,), without a gradient.
        weights: A weight per image, float (B,), or None.
        temperature: T, above 0.
    """
    target = torch.sigmoid(teacher / temperature)
    entropy = F.binary_cross_entropy_with_logits(teacher / temperature, target, reduction="none")
    divergence = F.binary_cross_entropy_with_logits(logits / temperature, target, reduction="none") - entropy
    divergence = divergence if weights is None else divergence * weights
    return temperature**2 * divergence.mean()


@dataclass(frozen=True)
class GroupShares:
    """The groups of the training images and their shares of an epoch.

    Attributes:
        names: Names of the G groups.
        labels: Label of each group; 1 is male.
        counts: Number of training images of each group.
        shares: Share of an epoch of each group under the sampler, adding up to 1.
    """

    names: tuple[str, ...]
    labels: tuple[int, ...]
    counts: tuple[int, ...]
    shares: tuple[float, ...]


class Criterion(nn.Module):
    """The loss of a training: label smoothing, class weights and float32 around the loss chosen by name.

    It is a module so that a loss with a state of its own (the weights of group DRO) can keep that as a buffer in
    `last.ckpt`.

    Args:
        section: The loss and its settings.
        class_counts: Number of training images of (female, male); needed for balanced class weights and for logit
            adjustment.
        groups: The groups; needed for group weights and for group DRO.
        class_shares: Shares of an epoch of (female, male), if a sampler changes them.

    Raises:
        UserError: Class weights are to be balanced, but a class has no image; or a weight is given for a group that
            does not exist.
    """

    group_weights: Tensor | None
    group_labels: Tensor | None

    def __init__(
        self,
        section: LossConfig,
        class_counts: tuple[int, int] | None = None,
        groups: GroupShares | None = None,
        class_shares: tuple[float, float] | None = None,
    ) -> None:
        super().__init__()
        self.section = section
        self.class_weights: tuple[float, float] | None = None
        if section.class_weights == "balanced":
            assert class_counts is not None
            self.class_weights = balanced_weights(class_shares or class_counts)
        tau = section.logit_adjustment
        self.adjustment = tau * log_odds(class_shares or class_counts) if tau else 0.0
        self.dro: GroupDro | None = None
        weights = labels = None
        if groups is not None:
            labels = torch.tensor(groups.labels, dtype=torch.float32)
            weights = None if section.group_weights == "none" else group_weights(section.group_weights, groups)
            if section.name == "group_dro":
                self.dro = GroupDro(
                    groups.counts, groups.shares, step_size=section.step_size, adjustment=section.adjustment
                )
        self.register_buffer("group_labels", labels, persistent=False)
        self.register_buffer("group_weights", weights, persistent=False)

    def forward(
        self,
        logits: Tensor,
        targets: Tensor,
        groups: Tensor | None = None,
        teacher: Tensor | None = None,
        *,
        observe: bool = True,
    ) -> Tensor:
        """The scalar loss of a batch.

        Args:
            logits: Logits of class male, float (B,); the computation is in float32 or wider.
            targets: 1 for male, (B,); any value in [0, 1] after MixUp or CutMix, with a mixture of both weights.
            groups: Share of each group in each image, (B, G); None if the loss does not use groups.
            teacher: The teachers' logits of the same images, float32 (B,), for `distill`; None leaves the labels alone.
            observe: Whether group DRO takes these losses into account; False for further logits of the same images.
        """
        assert logits.shape == targets.shape, (logits.shape, targets.shape)
        logits = logits.float() if logits.element_size() < 4 else logits
        answers = logits
        logits = logits + self.adjustment if self.adjustment else logits
        targets = targets.to(logits.dtype)
        weights = None
        if self.class_weights is not None:
            female, male = self.class_weights
            weights = female + targets * (male - female)
        smoothing = self.section.label_smoothing
        smoothed = smooth(targets, smoothing)
        factors = self._factors(logits.detach(), groups, observe) if groups is not None else None
        if factors is not None:
            assert groups is not None and self.group_labels is not None
            weighted = groups * factors
            of_groups = weighted.sum(1)
            # cross-entropy is linear in the target: this is the sum over groups of weight times the loss of its label
            smoothed = (weighted @ smooth(self.group_labels, smoothing)) / of_groups.clamp(min=1e-30)
            weights = of_groups if weights is None else weights * of_groups
        loss = LOSSES[self.section.name](logits, smoothed, weights, self.section)
        if teacher is None or self.section.name != "distill":
            return loss
        soft = distillation(answers, teacher.to(answers.dtype), weights, self.section.temperature)
        return torch.lerp(loss, soft, self.section.weight)

    def end_step(self) -> None:
        """Tell the loss that an optimizer step ends here."""
        if self.dro is not None:
            self.dro.end_step()

    def _factors(self, logits: Tensor, groups: Tensor, observe: bool) -> Tensor | None:
        """Factors of the losses of each group, (G,)."""
        if self.dro is None:
            return self.group_weights
        assert self.group_labels is not None
        if observe:
            self.dro.observe(logits, groups, smooth(self.group_labels, self.section.label_smoothing))
        return self.dro.factors()


def smooth(targets: Tensor, amount: float) -> Tensor:
    """Move targets towards one half: y (1 - s) + s / 2 (Szegedy et al. 2016, for two classes).

    Args:
        targets: Float in [0, 1], any shape.
        amount: s in [0, 1).
    """
    return targets * (1 - amount) + amount / 2


def balanced_weights(class_counts: tuple[float, float]) -> tuple[float, float]:
    """Weights of (female, male) under which both classes count equally and the mean weight over images is one.

    Args:
        class_counts: Numbers, or shares, of the (female, male) images of an epoch.

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


def group_weights(wanted: str | Mapping[str, float], groups: GroupShares) -> Tensor:
    """The weight of each group, float32 (G,); the mean weight over the images of an epoch is one.

    Args:
        wanted: `balanced`, under which all groups count equally; or weights by the names of groups, with `_` for
            blanks, and 1 for groups that are not named.
        groups: The groups.

    Raises:
        UserError: A weight is given for a group that does not exist.
    """
    shares = torch.tensor(groups.shares, dtype=torch.float64)
    if isinstance(wanted, str):
        weights = 1 / shares
    else:
        names = [key_of(name) for name in groups.names]
        for name in wanted:
            if key_of(name) not in names:
                raise UserError(
                    f"loss.group_weights: there is no group {name}.",
                    f"The groups are {', '.join(names)}.",
                    field="loss.group_weights",
                )
        given = {key_of(name): weight for name, weight in wanted.items()}
        weights = torch.tensor([given.get(name, 1.0) for name in names], dtype=torch.float64)
    return (weights / (shares * weights).sum()).float()


def log_odds(classes: tuple[float, float] | None) -> float:
    """log(male / female), which logit adjustment adds to the logits in training (Menon et al. 2021, equation 10).

    Args:
        classes: Numbers of images of (female, male), or their shares; both above 0.
    """
    assert classes is not None
    female, male = classes
    return math.log(male / female)
