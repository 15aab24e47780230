"""Blur, loss of resolution and JPEG, each image with its own strength, as products with small matrices.

Blurring and resizing are linear along rows and along columns, so together they are ``M @ image @ M.T`` with one matrix
per image, whatever the strengths: no shape depends on what is drawn, and nothing waits for the device. The cosine
transform of JPEG's 8 x 8 blocks is linear too, so it is part of the matrices; JPEG costs a second product, back to
pixels, and the rounding between the two.

The products are in float32. Where torch is set to a lower precision, levels are off by 0.1 (TF32) or 1 (bfloat16).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gender_lightning.transforms.parameters import Parameters

BLOCK = 8  # px: side of JPEG's blocks
# Tables K.1 and K.2 of ITU-T T.81, which libjpeg scales to a quality
_LUMINANCE = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51,
    87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
_CHROMINANCE = (
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99,
    99, 99, 99, *[99] * 32,
)  # fmt: skip


class Quality(nn.Module):
    """Blurs, shrinks and enlarges, and compresses images; its only state is JPEG's tables, outside the state dict."""

    tables: Tensor

    def __init__(self) -> None:
        """Keep JPEG's tables, float32 (3, 8, 8): that of luminance, and twice that of chrominance."""
        super().__init__()
        tables = torch.tensor([_LUMINANCE, _CHROMINANCE, _CHROMINANCE], dtype=torch.float32)
        self.register_buffer("tables", tables.view(3, BLOCK, BLOCK), persistent=False)

    def forward(self, levels: Tensor, parameters: Parameters) -> Tensor:
        """Degrade a batch: blur, shrink, compress at that size, enlarge.

        Args:
            levels: Images, float32 (B, 3, S, S) in 0..255; not altered.
            parameters: ``sigma``, ``side`` and ``quality`` of these images. What is None costs nothing.

        Returns:
            The degraded images, float32 (B, 3, S, S) in 0..255; ``levels`` itself if nothing is on.
        """
        p, size = parameters, levels.shape[-1]
        if p.sigma is None and p.side is None and p.quality is None:
            return levels
        blur = None if p.sigma is None else blur_matrix(p.sigma, size)
        if p.side is None and p.quality is None:
            assert blur is not None
            return apply(blur, levels)
        side = levels.new_full((len(levels),), size) if p.side is None else p.side
        padded = size if p.quality is None else -(-size // BLOCK) * BLOCK
        shrink, enlarge = shrink_matrix(side, size, padded), enlarge_matrix(side, size, padded)
        to_small = shrink if blur is None else shrink @ blur
        if p.quality is None:
            return apply(enlarge @ to_small, levels)
        cosines = cosine_matrix(padded, levels.device)
        frequencies = apply(cosines @ to_small, to_luminance(levels))
        rounded = self.quantize(frequencies, p.quality)
        return to_rgb(apply(enlarge @ cosines.T, rounded)).clamp_(0, 255)

    def quantize(self, frequencies: Tensor, quality: Tensor) -> Tensor:
        """Round each coefficient to a multiple of its step, as libjpeg does for a quality.

        Args:
            frequencies: Coefficients of the 8 x 8 blocks in their places, float32 (B, 3, P, P).
            quality: Quality of each image in 1..100, float32 (B,); 0 leaves the image as it is.
        """
        q = quality.clamp(1, 100)
        percent = torch.where(q < 50, torch.floor(5000 / q), 200 - 2 * q)
        steps = torch.floor((self.tables * percent[:, None, None, None] + 50) / 100).clamp_(1, 255)
        blocks = frequencies.view(*frequencies.shape[:2], frequencies.shape[2] // BLOCK, BLOCK, -1, BLOCK)
        tiled = steps[:, :, None, :, None]
        rounded = (blocks / tiled).round_().mul_(tiled)
        on = (quality > 0).to(blocks.dtype)[:, None, None, None, None, None]
        return torch.lerp(blocks, rounded, on).view(frequencies.shape)  # a choice, since the weight is 0 or 1


def apply(matrix: Tensor, images: Tensor) -> Tensor:
    """``matrix @ image @ matrix.T``: float32 (B, P, S) and (B, C, S, S) give (B, C, P, P)."""
    count, channels, height, width = images.shape
    along_rows = images.reshape(count, channels * height, width) @ matrix.transpose(1, 2)
    return matrix[:, None] @ along_rows.view(count, channels, height, -1)


def _normalized(weights: Tensor) -> Tensor:
    return weights / weights.sum(-1, keepdim=True)


def blur_matrix(sigma: Tensor, size: int) -> Tensor:
    """A Gaussian blur, mirrored about the outermost pixels, as torchvision's ``gaussian_blur`` with a wide kernel.

    Args:
        sigma: Standard deviation of each image in px, float32 (B,); 0 is no blur.
        size: Side S of the images.

    Returns:
        One matrix per image, float32 (B, S, S).
    """
    line = torch.arange(size, device=sigma.device, dtype=torch.float32)
    factor = -0.5 / sigma.clamp(min=0.05).square()[:, None, None]  # 0.05 px: all other pixels weigh exp(-200)

    def weights(source: Tensor) -> Tensor:
        # far pixels weigh exactly 0: products with denormal numbers take a CPU seven times as long
        return F.relu(torch.exp(((line[:, None] - source).square() * factor).clamp_(min=-20)) - 1e-8)

    before, after = weights(-line), weights(2 * (size - 1) - line)
    inner = (
        (line > 0).to(torch.float32),
        (line < size - 1).to(torch.float32),
    )  # the outermost are their own mirror image
    return _normalized(weights(line) + before * inner[0] + after * inner[1])


def shrink_matrix(side: Tensor, size: int, padded: int) -> Tensor:
    """An antialiased bilinear resize to ``side`` px, as ``interpolate(antialias=True)``; the last pixel is repeated.

    Args:
        side: Side of each shrunk image in whole px, 1 to ``size``, float32 (B,).
        size: Side S of the images.
        padded: Side P of the result, from S.

    Returns:
        One matrix per image, float32 (B, P, S).
    """
    last, ratio = (side - 1)[:, None], (size / side)[:, None]
    rows = torch.arange(padded, device=side.device, dtype=torch.float32)
    centre = (torch.minimum(rows, last) + 0.5) * ratio
    columns = torch.arange(size, device=side.device, dtype=torch.float32) + 0.5
    return _normalized(F.relu(1 - (columns - centre[..., None]).abs() / ratio[..., None]))


def enlarge_matrix(side: Tensor, size: int, padded: int) -> Tensor:
    """A bilinear resize from ``side`` px back to ``size``, which ignores the pixels beyond ``side``.

    Args:
        side: Side of each shrunk image in whole px, 1 to ``size``, float32 (B,).
        size: Side S of the result.
        padded: Side P of the padded shrunk images.

    Returns:
        One matrix per image, float32 (B, S, P).
    """
    rows = torch.arange(size, device=side.device, dtype=torch.float32) + 0.5
    centre = rows * (side / size)[:, None]
    columns = torch.arange(padded, device=side.device, dtype=torch.float32)
    used = (columns < side[:, None]).to(torch.float32)[:, None]
    return _normalized(F.relu(1 - (columns + 0.5 - centre[..., None]).abs()) * used)


def cosine_matrix(size: int, device: torch.device) -> Tensor:
    """The orthonormal cosine transform (DCT-II) of blocks of 8, float32 (S, S); S is a multiple of 8."""
    line = torch.arange(size, device=device)
    frequency, position = (line % BLOCK)[:, None], line % BLOCK
    waves = torch.cos((2 * position + 1) * frequency * (math.pi / (2 * BLOCK))) / 2
    scaled = torch.where(frequency == 0, math.sqrt(1 / BLOCK), waves)
    same_block = (line // BLOCK)[:, None] == line // BLOCK
    return scaled * same_block


def to_luminance(levels: Tensor) -> Tensor:
    """JFIF's luminance and two chrominances, all about 0, of RGB levels: float32 (B, 3, S, S) both."""
    red, green, blue = levels.unbind(1)
    luminance = 0.299 * red + 0.587 * green + 0.114 * blue
    return torch.stack((luminance - 128, (blue - luminance) / 1.772, (red - luminance) / 1.402), 1)


def to_rgb(components: Tensor) -> Tensor:
    """The inverse of `to_luminance`."""
    luminance, of_blue, of_red = components.unbind(1)
    luminance = luminance + 128
    red, blue = luminance + 1.402 * of_red, luminance + 1.772 * of_blue
    return torch.stack((red, (luminance - 0.299 * red - 0.114 * blue) / 0.587, blue), 1)
