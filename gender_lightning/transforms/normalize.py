"""Normalisation: pixels become the values that the weights were trained on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Normalize(nn.Module):
    """Computes (x - mean) / std per channel, for x in 0..1.

    The constants are buffers outside the state dict: the checkpoint's `ModelSpec` carries them.

    Example:
        >>> Normalize(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))(torch.zeros(1, 3, 1, 1)).flatten()
        tensor([-1., -1., -1.])
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD) -> None:
        """Take mean and standard deviation, three numbers each, for pixels in 0..1."""
        super().__init__()
        assert len(mean) == len(std) == 3
        assert min(std) > 0
        scale = 1 / torch.tensor(list(std), dtype=torch.float32)
        shift = -torch.tensor(list(mean), dtype=torch.float32) * scale
        self.register_buffer("scale", scale.view(3, 1, 1), persistent=False)
        self.register_buffer("shift", shift.view(3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Normalise a batch.

        Args:
            images: Images (B, 3, H, W), uint8 in 0..255 or floating point in 0..1.

        Returns:
            The normalised images, float32 (B, 3, H, W), in the memory format of the input.
        """
        if images.dtype == torch.uint8:
            return self.levels_(images.to(torch.float32))
        return images.to(torch.float32) * self.scale + self.shift

    def levels_(self, levels: Tensor, out: Tensor | None = None) -> Tensor:
        """Normalise float32 values in 0..255 in place; where ``out`` is given, a GPU writes there, in its layout."""
        scale = self.scale / 255
        if levels.device.type == "cpu":
            return levels.mul_(scale).add_(self.shift)  # twice as fast as one addcmul with numbers per channel
        return torch.addcmul(self.shift, levels, scale, out=levels if out is None else out)
