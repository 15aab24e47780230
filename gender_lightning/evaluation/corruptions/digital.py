"""ImageNet-C's digital corruptions: `(images, c, scale, draws)` as `catalogue.Function` describes."""

from __future__ import annotations

import io
import math

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from gender_lightning.evaluation.corruptions import filters
from gender_lightning.evaluation.corruptions.randomness import Draws
from gender_lightning.evaluation.corruptions.severity import Scale


def contrast(images: Tensor, c: float, scale: Scale, draws: Draws) -> Tensor:
    """Scale the distance of each channel from its mean by c."""
    mean = images.mean((2, 3), keepdim=True)
    return (images - mean) * c + mean


def elastic_transform(images: Tensor, c: tuple[float, float, float], scale: Scale, draws: Draws) -> Tensor:
    """Apply a random affine map, then a smooth random displacement; all three lengths are fractions of the side.

    Three points of a square move by up to c[2]; each pixel by c[0] * noise in -1..1, blurred by c[1].
    """
    size = images.shape[-1]
    moved = _affine(images, draws.uniform(3, 2, low=-c[2] * size, high=c[2] * size))
    noise = draws.uniform(2, size, size, low=-1, high=1)
    shift = filters.gaussian_blur(noise, c[1] * size, truncate=3.0, boundary="reflect") * (c[0] * size)
    line = torch.arange(size, device=images.device, dtype=torch.float32)
    return filters.remap(moved, line + shift[:, 0], line[:, None] + shift[:, 1], "reflect")


def _affine(images: Tensor, moves: Tensor) -> Tensor:
    """Apply cv2.warpAffine with the map that moves three corners of a square by `moves`, pixels (B, 3, 2) as (x, y)."""
    size = images.shape[-1]
    middle, half = size // 2, size // 3
    high, low = float(middle + half), float(middle - half)
    points = torch.tensor([[high, high], [high, low], [low, low]], dtype=torch.float64)
    # three equations with three unknowns per image: the host is as fast, and supports float64
    targets = points + moves.double().cpu()
    square = torch.cat((targets, torch.ones(len(moves), 3, 1, dtype=torch.float64)), -1)
    back = torch.linalg.solve(square, points.expand(len(moves), 3, 2)).float().to(images.device)
    line = torch.arange(size, device=images.device, dtype=torch.float32)
    grid = torch.stack((line.expand(size, size), line[:, None].expand(size, size), torch.ones_like(images[0, 0])), -1)
    source = torch.einsum("hwk,bkd->bhwd", grid, back)
    return filters.remap(images, source[..., 0], source[..., 1], "mirror")


def pixelate(images: Tensor, c: float, scale: Scale, draws: Draws) -> Tensor:
    """Shrink to c of the side and enlarge again, both with Pillow's BOX filter."""
    size = images.shape[-1]
    small = max(1, int(size * c))
    down, up = box_matrix(size, small).to(images.device), box_matrix(small, size).to(images.device)
    levels = images * 255
    for matrix in (down, up):
        # Pillow goes along the rows first and keeps whole levels after each pass
        levels = torch.floor(levels @ matrix.T + 0.5)
        levels = torch.floor(matrix @ levels + 0.5)
    return levels / 255


def box_matrix(size: int, wanted: int) -> Tensor:
    """Pillow's BOX resize of `size` to `wanted` pixels as a matrix, float32 (wanted, size)."""
    ratio = size / wanted
    reach = max(ratio, 1.0)
    centre = (torch.arange(wanted, dtype=torch.float64)[:, None] + 0.5) * ratio
    distance = (torch.arange(size, dtype=torch.float64) + 0.5 - centre) / reach
    inside = ((distance > -0.5) & (distance <= 0.5)).double()
    return (inside / inside.sum(1, keepdim=True)).float()


def jpeg_compression(images: Tensor, c: int, scale: Scale, draws: Draws) -> Tensor:
    """Encode as JPEG of quality c and decode, on the host.

    With Pillow, as published: simplejpeg is a little faster, but its encoder uses the fast, less exact cosine
    transform at these qualities.
    """
    levels = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    decoded = torch.from_numpy(np.stack([_through_jpeg(picture, c) for picture in levels]))
    return decoded.to(images.device).permute(0, 3, 1, 2).float() / 255


def _through_jpeg(picture: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def low_resolution(images: Tensor, c: int, scale: Scale, draws: Draws) -> Tensor:
    """Simulate a face far from the camera: shrink to 1 / c of the side with antialiasing, enlarge bicubically."""
    size = images.shape[-1]
    small = max(2, math.ceil(size / c))
    shrunk = torch.nn.functional.interpolate(images, (small, small), mode="bilinear", antialias=True)
    return torch.nn.functional.interpolate(shrunk, (size, size), mode="bicubic")
