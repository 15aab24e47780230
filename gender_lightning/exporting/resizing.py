"""The framing of `data.decoding` in pure tensor arithmetic, so that it can be part of an exported graph.

A separable resize is two matrix products, and cropping leaves columns out. The graph computes the matrices from the
height and width of the input, so that one graph takes pictures of every size. The resize operators of runtimes would
not do: each has its own antialiasing, coordinates and rounding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gender_lightning.data.framing import Framing

_PRECISIONS = 22  # number of powers of two that torch tries; it uses the largest whose weights fit 16 bits
_LARGEST_WEIGHT = 2**15


class GraphFraming(nn.Module):
    """The framing of `data.decoding.frame_tensor`, with identical pixels, for a whole batch.

    It follows torch's resize of uint8 (aten/src/ATen/native/cpu/UpSampleKernel.cpp): the filter is widened by the
    scale when shrinking, weights are rounded to 16 bits, and the result of each pass, across and then down, is
    rounded to whole levels. Torch sums integers; the graph sums in float64, which holds these sums exactly.
    """

    def __init__(self, framing: Framing) -> None:
        """Take the framing of a checkpoint."""
        super().__init__()
        self.framing = framing

    def forward(self, images: Tensor) -> Tensor:
        """Crop, zoom and resize.

        Args:
            images: RGB images, uint8 (B, 3, H, W), of any height and width of at least 1.

        Returns:
            Framed images, float32 (B, 3, S, S), with whole levels in 0..255.
        """
        rows, columns = images.shape[-2:]
        height = torch.full((), rows, dtype=torch.float64)
        width = torch.full((), columns, dtype=torch.float64)
        top, left, kept_height, kept_width = self._box(height, width)
        across = self._weights(columns, left, kept_width)
        down = self._weights(rows, top, kept_height)
        narrow = _levels(images.to(torch.float64) @ across.T)
        return _levels(down @ narrow).to(torch.float32)

    def _box(self, height: Tensor, width: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Top, left, height and width of the part that is kept: `Framing.box` (both round half to even)."""
        framing = self.framing
        short = torch.minimum(height, width)
        crop_height, crop_width = (height, width) if framing.crop == "none" else (short, short)
        lowered = 0.25 * (height - crop_height) if framing.crop == "lower" else torch.zeros_like(height)
        kept_height, kept_width = (torch.round(side * framing.zoom).clamp(min=1) for side in (crop_height, crop_width))
        top = torch.round((height - kept_height) / 2 + lowered)
        return top, torch.round((width - kept_width) / 2), kept_height, kept_width

    def _weights(self, pixels: int, start: Tensor, kept: Tensor) -> Tensor:
        """Weights, float32 (S, pixels), that turn the pixels of a line into the S pixels of the result."""
        scale = kept / self.framing.image_size
        centres = (torch.arange(self.framing.image_size, dtype=torch.float64) + 0.5) * scale
        positions = torch.arange(pixels, dtype=torch.float64) - start
        distances = (positions[None] + 0.5 - centres[:, None]) / scale.clamp(min=1)
        weights = _triangle(distances) if self.framing.interpolation == "bilinear" else _cubic(distances)
        weights = weights * ((positions >= 0) & (positions < kept))
        return _to_16_bits(weights / weights.sum(dim=1, keepdim=True))


def _triangle(x: Tensor) -> Tensor:
    return (1 - x.abs()).clamp(min=0)


def _cubic(x: Tensor) -> Tensor:
    """Keys' cubic convolution with a = -0.5, which torch uses when it antialiases."""
    x = x.abs()
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((x - 5) * x + 8) * x * -0.5 + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


def _to_16_bits(weights: Tensor) -> Tensor:
    """Round weights to multiples of the power of two with which torch stores them as int16."""
    powers = 2.0 ** torch.arange(1, _PRECISIONS + 1, dtype=torch.float64)
    precision = (torch.floor(weights.max() * powers + 0.5) < _LARGEST_WEIGHT).sum()
    one = torch.pow(torch.full((), 2.0, dtype=torch.float64), precision.to(torch.float64))
    return torch.trunc(weights * one + torch.where(weights < 0, -0.5, 0.5)) / one


def _levels(values: Tensor) -> Tensor:
    return torch.floor(values + 0.5).clamp(0, 255)
