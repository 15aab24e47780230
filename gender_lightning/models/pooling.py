"""Adaptive average pooling with a deterministic gradient on a GPU."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class RepeatablePool2d(nn.AdaptiveAvgPool2d):
    """`nn.AdaptiveAvgPool2d` made of operations that have a deterministic gradient on CUDA, unlike the original.

    Window i of k over n pixels is floor(i n / k) to ceil((i + 1) n / k), as in torch. If all windows have the same
    size, this is ordinary pooling, or the identity if they have one pixel.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Pool images, float (..., H, W), to the module's output size."""
        sizes = self.output_size if isinstance(self.output_size, tuple) else (self.output_size, self.output_size)
        height, width = (there if size is None else size for size, there in zip(sizes, input.shape[-2:], strict=True))
        if input.shape[-2] % height == 0 and input.shape[-1] % width == 0:
            kernel = input.shape[-2] // height, input.shape[-1] // width
            return input if kernel == (1, 1) else F.avg_pool2d(input, kernel)
        return _means(_means(input, height, -2), width, -1)


def _means(images: Tensor, windows: int, axis: int) -> Tensor:
    length = images.shape[axis]
    bounds = ((i * length // windows, -(-(i + 1) * length // windows)) for i in range(windows))
    return torch.cat([images.narrow(axis, start, end - start).mean(axis, keepdim=True) for start, end in bounds], axis)


def make_repeatable(net: nn.Module) -> None:
    """Replace adaptive poolings to more than one pixel, in place; parameters and their names do not change."""
    for parent in list(net.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.AdaptiveAvgPool2d and child.output_size not in (1, (1, 1)):  # a plain mean
                setattr(parent, name, RepeatablePool2d(child.output_size))
        if hasattr(parent, "input_kernel_size"):
            parent.register_forward_pre_hook(_enlarge)


def _enlarge(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Do for timm's VGG what its last part does, by a function of torch, with features smaller than its kernel."""
    (features,) = inputs
    least: Any = module.input_kernel_size
    height, width = (max(least, side) for side in features.shape[-2:])
    return (RepeatablePool2d((height, width))(features),)
