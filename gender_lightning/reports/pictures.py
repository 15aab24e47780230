"""Faces as pictures embedded in a page."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gender_lightning.reports.page import data_uri

_SIDE = 160  # px at most: no tile is wider, and a page of forty faces stays below a megabyte
_STRENGTH = 0.6


def face_uri(face: NDArray[np.uint8]) -> str:
    """Encode an RGB picture, uint8 (S, S, 3), as a JPEG in a ``data:`` URI."""
    picture = Image.fromarray(face)
    picture.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=88)
    return data_uri(file.getvalue())


def overlaid(face: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Overlay a heat map of `saliency.heat_maps` on a greyed face, in a colour map that also works in greyscale.

    Args:
        face: RGB picture, uint8 (S, S, 3).
        heat: Heat map, float32 (S, S) in 0..1.

    Returns:
        RGB picture, uint8 (S, S, 3).
    """
    from matplotlib import colormaps

    colors: NDArray[Any] = colormaps["inferno"](heat)[..., :3] * 255
    grey = face.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    base = 0.35 * face + 0.65 * grey[..., None]
    mixed: NDArray[np.uint8] = np.clip((1 - _STRENGTH) * base + _STRENGTH * colors, 0, 255).astype(np.uint8)
    return mixed
