"""Large photographs: faces are looked for in a reduced copy; only small faces need all pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from gender_lightning.data.decoding import decode, jpeg_size
from gender_lightning.inference.faces.face import Box, Face

Pixels = NDArray[np.uint8]
Reduction = Callable[[int, int], int]  # from height and width of a picture to the power of two that it is reduced by


@dataclass(frozen=True)
class Reduced:
    """A reduced copy of a photograph.

    Attributes:
        pixels: The copy, upright, RGB uint8 (H / reduction, W / reduction, 3), rounded up.
        reduction: 2, 4 or 8.
        height: Height of the photograph in pixels.
        width: Width of the photograph in pixels.
        whole: Decodes the photograph itself, RGB uint8 (H, W, 3).
    """

    pixels: Pixels
    reduction: int
    height: int
    width: int
    whole: Callable[[], Pixels]


AnyPicture = Pixels | Reduced


def open_reduced(data: bytes, *, path: str, reduction: Reduction | None) -> AnyPicture:
    """Decode a picture, a large JPEG as a reduced copy.

    Args:
        data: The bytes of the file.
        path: Names the picture in messages.
        reduction: How far a picture of some height and width may be reduced; None to decode all pictures in full.

    Raises:
        UserError: See `decode`.
    """
    size = jpeg_size(data) if reduction is not None else None
    factor = 1 if size is None or reduction is None else reduction(*size)
    pixels = decode(data, path=path, reduction=factor)
    if size is None or factor == 1 or pixels.shape[:2] == size:
        return pixels
    return Reduced(pixels, factor, *size, partial(decode, data, path=path))


def pixels_of(picture: AnyPicture) -> Pixels:
    """The pixels in which faces are looked for."""
    return picture.pixels if isinstance(picture, Reduced) else picture


def size_of(picture: AnyPicture) -> tuple[int, int]:
    """Height and width of the picture itself."""
    return (picture.height, picture.width) if isinstance(picture, Reduced) else (picture.shape[0], picture.shape[1])


def scaled(face: Face, factor: float) -> Face:
    """A face in the pixels of a picture that is larger by this factor."""
    (x1, y1), (x2, y2) = face.eyes
    box = Box(*(round(side * factor) for side in (face.box.left, face.box.top, face.box.width, face.box.height)))
    return replace(face, box=box, eyes=((x1 * factor, y1 * factor), (x2 * factor, y2 * factor)))
