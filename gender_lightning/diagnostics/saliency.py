"""Where a network looks: Grad-CAM (Selvaraju et al. 2017) by the library `grad-cam`, for CNNs and transformers.

Grad-CAM is meant for the last feature map. Where that is too coarse to show anything (2 x 2 cells of a ResNet at 64
px), an earlier one is used, at which Grad-CAM is often empty for the surest images; there it is LayerCAM (Jiang et al.
2021), which weighs each cell by its own positive gradient.

A map shows which places of a feature map support the decision; it is coarse (often 4 x 4 to 14 x 14 cells), and
shows what the network used, not why.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gender_lightning.models.checkpoints.checkpoint import Network
from gender_lightning.models.sharing import alone_with

Maps = NDArray[np.float32]
_FINE_ENOUGH = 4  # cells each way
_BATCH = 32


@dataclass(frozen=True)
class Layer:
    """A module whose output is a feature map.

    Attributes:
        path: Dotted path of the module.
        to_channels_first: Converts its output to (B, C, H, W).
        side: Height and width of the feature map.
        last: Whether it is the last feature map of the network.
    """

    path: str
    to_channels_first: Callable[[Tensor], Tensor]
    side: int
    last: bool = True

    @property
    def method(self) -> str:
        """The method to compute heat maps from it."""
        return "Grad-CAM" if self.last else "LayerCAM"


def heat_maps(network: Network, images: Tensor, male: Tensor) -> Maps:
    """Compute where the evidence for a class lies in each image.

    In float32, without the test-time flip and zooms of the checkpoint. Threads may share the network: they take turns.

    Args:
        network: A network in evaluation mode.
        images: uint8 (N, 3, S, S).
        male: bool (N,), whether to explain male or female.

    Returns:
        float32 (N, S, S) in 0..1, each scaled to its own maximum; all 0 where nothing supports the class.
    """
    with alone_with(network):
        maps = _heat_maps(network, images, male)
        network.zero_grad(set_to_none=True)
    return np.nan_to_num(maps)


def _heat_maps(network: Network, images: Tensor, male: Tensor) -> Maps:
    from pytorch_grad_cam import GradCAM, LayerCAM

    device = next(network.parameters()).device
    layer = find_layer(network, images[:2].to(device))
    module = network.net.get_submodule(layer.path)
    parts: list[Maps] = []
    method = GradCAM if layer.last else LayerCAM
    with method(network.net, [module], reshape_transform=layer.to_channels_first) as cam:
        for start in range(0, len(images), _BATCH):
            with torch.enable_grad(), torch.autocast(device.type, enabled=False):
                seen = network.normalize(images[start : start + _BATCH].to(device)).requires_grad_()
                signs = [1.0 if one else -1.0 for one in male[start : start + _BATCH].tolist()]
                targets = [functools.partial(torch.mul, torch.tensor(sign, device=device)) for sign in signs]
                parts.append(cam(input_tensor=seen, targets=targets))
    return np.concatenate(parts).astype(np.float32)


def find_layer(network: Network, images: Tensor) -> Layer:
    """Find the last feature map of at least 4 x 4 cells that the logit depends on, else the finest one.

    One forward and backward pass records the output of every module. Feature maps are
    (B, C, H, W), (B, H, W, C) or tokens (B, prefix + H * W, C), square, at least 2 x 2. Tokens with zero gradient
    everywhere do not count: after the last attention only the class token matters.

    Args:
        network: A network in evaluation mode.
        images: uint8 (B, 3, S, S).

    Raises:
        ValueError: The network has no feature map, or is the mean of several, which look at different things.
    """
    if len(network.members) > 1:
        raise ValueError("The mean of several checkpoints has no heat maps: evaluate one of them for its own")
    seen: dict[str, tuple[int, Tensor, Layer]] = {}
    with alone_with(network), ExitStack() as hooks:
        for path, module in network.net.named_modules():
            if path:
                note = functools.partial(_note, seen, path, len(images))
                hooks.callback(module.register_forward_hook(note).remove)
        with torch.enable_grad(), torch.autocast(images.device.type, enabled=False):
            network.net(network.normalize(images).requires_grad_()).sum().backward()
        network.zero_grad(set_to_none=True)
    useful = [(order, layer) for order, output, layer in seen.values() if _contributes(output, layer)]
    if not useful:
        raise ValueError(f"{network.spec.backbone} has no layer with a picture's layout")
    fine = [(order, layer) for order, layer in useful if layer.side >= _FINE_ENOUGH]
    if not fine:
        return replace(max(useful, key=lambda found: (found[1].side, found[0]))[1], last=False)
    last, layer = max(fine, key=lambda found: found[0])
    return replace(layer, last=last == max(order for order, _ in useful))


def _note(
    seen: dict[str, tuple[int, Tensor, Layer]], path: str, batch: int, module: nn.Module, inputs: Any, output: Any
) -> None:
    layer = _layout(path, output, batch)
    # VGG's pooling repeats the cells of small pictures, which adds no detail
    if layer is not None and output.requires_grad and not _enlarges(inputs, output):
        output.retain_grad()
        seen[path] = (len(seen), output, layer)  # blocks end after their parts: the outermost counts last


def _enlarges(inputs: Any, output: Tensor) -> bool:
    before = inputs[0] if inputs else None
    return isinstance(before, Tensor) and before.ndim == output.ndim == 4 and before.shape[2:] < output.shape[2:]


def _layout(path: str, output: Any, batch: int) -> Layer | None:
    if not isinstance(output, Tensor) or len(output) != batch:
        return None
    if output.ndim == 4 and output.shape[2] == output.shape[3] >= 2:
        return Layer(path, _identity, output.shape[2])
    if output.ndim == 4 and output.shape[1] == output.shape[2] >= 2:
        return Layer(path, _from_channels_last, output.shape[1])
    if output.ndim == 3 and output.shape[1] >= 4:
        side = math.isqrt(output.shape[1])  # a few tokens before the patches: class, distillation, registers
        if output.shape[1] - side * side <= 8:
            return Layer(path, functools.partial(_from_tokens, side=side), side)
    return None


def _contributes(output: Tensor, layer: Layer) -> bool:
    return output.grad is not None and bool(layer.to_channels_first(output.grad).abs().sum() > 0)


def _identity(output: Tensor) -> Tensor:
    return output


def _from_channels_last(output: Tensor) -> Tensor:
    return output.permute(0, 3, 1, 2)


def _from_tokens(output: Tensor, side: int) -> Tensor:
    patches = output[:, output.shape[1] - side * side :]
    return patches.reshape(len(output), side, side, -1).permute(0, 3, 1, 2)


def mean_maps(network: Network, batches: Iterable[tuple[Tensor, Tensor]]) -> dict[str, Maps]:
    """Average the heat maps for each class over its images.

    Args:
        network: A network in evaluation mode.
        batches: (uint8 (B, 3, S, S), labels (B,)).

    Returns:
        The mean map of each class name, float32 (S, S) in 0..1; classes without images are absent.
    """
    sums: dict[int, Maps] = {}
    counts = {0: 0, 1: 0}
    for images, labels in batches:
        maps = heat_maps(network, images, labels == 1)
        for label in (0, 1):
            chosen = maps[labels.numpy() == label]
            if len(chosen):
                sums[label] = sums.get(label, np.zeros_like(maps[0])) + chosen.sum(0)
                counts[label] += len(chosen)
    means = {label: (total / counts[label]).astype(np.float32) for label, total in sums.items()}
    return {network.spec.class_names[label]: mean for label, mean in means.items()}
