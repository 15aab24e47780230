"""A framed picture as from further away, and the mean over several such views: `model.test_time_zooms`.

In a picture that a face fills the face is larger than in the training pictures; from further away it has their size.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.amp import is_autocast_available


class TestTime(TypedDict):
    """The views of an image whose logits are averaged.

    Attributes:
        flip: Whether each view is seen a second time as its mirror image.
        zooms: How far away the views are, see `zoomed_out`.
    """

    flip: bool
    zooms: Sequence[float]


def averaged(net: nn.Module, images: Tensor, *, flip: bool, zooms: Sequence[float]) -> Tensor:
    """Mean logits float32 (B,) over the `views` of normalised images (B, 3, S, S)."""
    return torch.stack([net(view).float() for view in views(images, flip=flip, zooms=zooms)]).mean(dim=0)


def views(images: Tensor, *, flip: bool, zooms: Sequence[float]) -> Iterator[Tensor]:
    """The images at each zoom, each followed by its mirror image with ``flip``."""
    for zoom in zooms:
        view = zoomed_out(images, zoom)
        yield view
        if flip:
            yield view.flip(-1)


def zoomed_out(images: Tensor, zoom: float) -> Tensor:
    """Shrink images to 1 / zoom of their side, antialiased, and surround them with their repeated edge.

    Args:
        images: Floating-point (B, C, S, S).
        zoom: At least 1, which gives the images themselves.

    Returns:
        The same shape and dtype.
    """
    if zoom == 1:
        return images
    matrix = torch.from_numpy(_matrix(images.shape[-1], zoom)).to(images)
    device = images.device.type
    with torch.autocast(device, enabled=False) if is_autocast_available(device) else nullcontext():
        return matrix @ images @ matrix.T  # bfloat16 has too few levels for pixels


@functools.lru_cache(maxsize=64)
def _matrix(side: int, zoom: float) -> NDArray[np.float32]:
    """What maps a line of pixels to a line of the view, (S, S).

    The weights are those of torch's ``interpolate(mode="bilinear", antialias=True)``: a triangle as wide as two pixels
    of the result. Made without torch, since export traces what torch does.
    """
    kept = max(1, round(side / zoom))
    scale = side / kept
    centres = (np.arange(kept)[:, None] + 0.5) * scale
    weights = np.maximum(0, 1 - np.abs(np.arange(side) + 0.5 - centres) / scale)
    weights /= weights.sum(axis=1, keepdims=True)
    before = (side - kept) // 2
    return np.pad(weights, ((before, side - kept - before), (0, 0)), mode="edge").astype(np.float32)
