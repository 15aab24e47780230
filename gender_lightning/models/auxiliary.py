"""Networks with auxiliary classifiers, with the same interface as all others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torchvision
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.googlenet import BasicConv2d, Inception, InceptionAux

Logits = Tensor
Auxiliary = list[tuple[float, Tensor]]


class _Classifier(InceptionAux):  # type: ignore[misc]
    """torchvision's auxiliary classifier with its pooling as a module, which `pooling.make_repeatable` can replace."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.pool = nn.AdaptiveAvgPool2d((4, 4))

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.relu(self.fc1(self.conv(self.pool(x)).flatten(1)), inplace=True)
        logits: Tensor = self.fc2(self.dropout(hidden))
        return logits


class GoogLeNet(torchvision.models.GoogLeNet):  # type: ignore[misc]
    """GoogLeNet on normalised images; its auxiliary classifiers are used in `forward_train` only."""

    # weight of each auxiliary loss, by module path, in the order of the outputs (Szegedy et al. 2014)
    auxiliary: ClassVar = {"aux2": 0.3, "aux1": 0.3}

    def __init__(self, **arguments: Any) -> None:
        # the checkpoint's normalisation is used, so torchvision must not transform the input once more
        blocks = [BasicConv2d, Inception, _Classifier]
        super().__init__(transform_input=False, init_weights=True, blocks=blocks, **arguments)

    def forward(self, x: Tensor, auxiliary: bool = False) -> Any:
        """Normalised images (B, 3, S, S) to logits (B,); with ``auxiliary`` the result of `forward_train`."""
        return _outputs(super().forward(x), self.auxiliary if auxiliary else None)


class Inception3(torchvision.models.Inception3):  # type: ignore[misc]
    """Inception v3, changed in the same way as `GoogLeNet`."""

    auxiliary: ClassVar = {"AuxLogits": 0.3}

    def __init__(self, **arguments: Any) -> None:
        super().__init__(transform_input=False, init_weights=True, **arguments)

    def forward(self, x: Tensor, auxiliary: bool = False) -> Any:
        """Normalised images (B, 3, S, S) to logits (B,); with ``auxiliary`` the result of `forward_train`."""
        return _outputs(super().forward(x), self.auxiliary if auxiliary else None)


NETWORKS: dict[str, Callable[..., nn.Module]] = {"googlenet": GoogLeNet, "inception_v3": Inception3}


def _outputs(outputs: Tensor | tuple[Tensor | None, ...], weights: dict[str, float] | None) -> Any:
    """The logits, and with `weights` the auxiliary ones too; torchvision returns a tuple in training mode only."""
    logits, *others = outputs if isinstance(outputs, tuple) else (outputs,)
    if weights is None:
        return logits
    pairs = zip(weights.values(), others, strict=bool(others))
    return logits, [(weight, other.flatten()) for weight, other in pairs if other is not None]


def forward_train(net: nn.Module, images: Tensor) -> tuple[Logits, Auxiliary]:
    """One training pass of any backbone.

    Args:
        net: A network of `create_backbone`.
        images: Normalised images (B, 3, S, S).

    Returns:
        Logits (B,), and a list of (weight of the loss, auxiliary logits (B,)), empty for most networks
        and outside of training.
    """
    if isinstance(net, GoogLeNet | Inception3):
        # through __call__, which nn.Module.compile() replaces
        logits, auxiliary = net(images, auxiliary=True)
        return logits, auxiliary
    return net(images), []
