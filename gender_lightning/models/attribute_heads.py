"""Heads for auxiliary attributes: a training signal beside the one logit, never an output."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from gender_lightning.models.heads import main_head


class AttributeHeads(nn.Module):
    """One linear layer for all auxiliary attributes, on the features that a network's head gets.

    The network itself does not change: a hook on its head stores the features, in training only. The network's state
    dict, checkpoints and output therefore contain nothing of this layer.

    Args:
        net: A network of `create_backbone`.
        attributes: Number of attributes, A.
    """

    def __init__(self, net: nn.Module, attributes: int) -> None:
        super().__init__()
        head = main_head(net)
        self.linear = nn.Linear(head.in_features, attributes)
        self._features: Tensor | None = None
        head.register_forward_pre_hook(self._keep)

    def _keep(self, head: nn.Module, inputs: tuple[Any, ...]) -> None:
        if head.training:
            self._features = inputs[0]

    def forward(self, targets: Tensor) -> Tensor:
        """Mean binary cross-entropy over attributes and images, scalar, for the images of the last forward pass.

        Args:
            targets: Whether each image has each attribute, (B, A) in [0, 1].
        """
        assert self._features is not None, "the network has seen no training batch"
        logits = self.linear(self._features.flatten(1))
        self._features = None  # otherwise the graph of the batch would stay in memory
        return F.binary_cross_entropy_with_logits(logits.float(), targets.float())

    def parameter_groups(self, *, lr: float, weight_decay: float) -> list[dict[str, Any]]:
        """Parameter groups for an optimizer, with weight decay for the weights and none for the biases."""
        return [
            {"params": [self.linear.weight], "lr": lr, "weight_decay": weight_decay},
            {"params": [self.linear.bias], "lr": lr, "weight_decay": 0.0},
        ]
