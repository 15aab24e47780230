"""A batch as one picture, for the logger: what the network really sees."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from gender_lightning.transforms.normalize import IMAGENET_MEAN, IMAGENET_STD

_SMALLEST = 96  # px: a narrower tile has no room for its label


@torch.no_grad()
def describe_batch_image(
    images: Tensor,
    labels: Tensor,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    *,
    columns: int = 8,
    limit: int = 32,
) -> NDArray[np.uint8]:
    """Lay a batch out as a grid, normalisation undone, labels written on it.

    Args:
        images: Normalised images (B, 3, H, W) of any device, floating dtype and memory format.
        labels: Labels (B,), 1 = male; fractions (MixUp) are written as numbers.
        mean: Mean that the images were normalised with.
        std: Standard deviation that the images were normalised with.
        columns: Largest number of images in a row.
        limit: Largest number of images in all.

    Returns:
        One picture, uint8 (height, width, 3), RGB; images under 96 px are enlarged by a whole factor.
    """
    assert len(images) == len(labels) > 0
    batch = images[:limit].to("cpu", torch.float32)
    shift, scale = torch.tensor(list(mean)).view(3, 1, 1), torch.tensor(list(std)).view(3, 1, 1)
    pixels = ((batch * scale + shift) * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
    height, width = pixels.shape[1:3]
    factor = -(-_SMALLEST // width)
    across = min(columns, len(pixels))
    down = -(-len(pixels) // across)
    sheet = Image.new("RGB", (across * width * factor, down * height * factor))
    draw = ImageDraw.Draw(sheet)
    for position, (tile, label) in enumerate(zip(pixels, labels[:limit].tolist(), strict=True)):
        corner = (position % across * width * factor, position // across * height * factor)
        picture = Image.fromarray(tile)
        sheet.paste(picture.resize((width * factor, height * factor), Image.Resampling.NEAREST), corner)
        _write(draw, corner, _name(float(label)))
    return np.asarray(sheet, dtype=np.uint8).copy()


def _name(label: float) -> str:
    if label in (0.0, 1.0):
        return "male" if label else "female"
    return f"{label:.2f} male"


def _write(draw: ImageDraw.ImageDraw, corner: tuple[int, int], text: str) -> None:
    at = (corner[0] + 3, corner[1] + 2)
    left, top, right, bottom = draw.textbbox(at, text)
    draw.rectangle((left - 2, top - 1, right + 2, bottom + 1), fill=(0, 0, 0))
    draw.text(at, text, fill=(255, 255, 255))
