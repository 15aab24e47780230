"""Encoded pictures for measuring how fast faces are found: crops and photographs with drawn faces, always the same."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gender_lightning.synthetic.faces import synthetic_faces

CROP_SIDE = 200
PHOTOGRAPH = (3000, 4000)  # height and width: twelve megapixels
_SEED = 1
_GRAIN = 6  # largest deviation of a pixel, for files of the size that a camera writes (3 MB)


def crops(count: int) -> list[bytes]:
    """JPEGs of 200 x 200 pixels with one face each, smaller than CelebA frames it, so that it is looked for."""
    drawn, _ = synthetic_faces(count, _SEED)
    rng = np.random.default_rng(_SEED)
    height = round(0.6 * CROP_SIDE)
    return [_encoded(_scene((CROP_SIDE, CROP_SIDE), [face], height, rng)) for face in drawn]


def photographs(count: int) -> list[bytes]:
    """JPEGs of twelve megapixels with four faces each, 800 pixels high with their hair."""
    drawn, _ = synthetic_faces(4 * count, _SEED)
    rng = np.random.default_rng(_SEED)
    return [_encoded(_scene(PHOTOGRAPH, list(drawn[4 * number :][:4]), 800, rng)) for number in range(count)]


def _scene(
    size: tuple[int, int], faces: list[NDArray[np.uint8]], height: int, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Faces beside each other before something blurred, with a camera's grain."""
    colours = rng.integers(50, 210, (9, 12, 3), dtype=np.uint8)
    canvas = Image.fromarray(colours).resize(size[::-1], Image.Resampling.BICUBIC)
    column = size[1] // len(faces)
    for number, face in enumerate(faces):
        width = round(height * face.shape[1] / face.shape[0])
        left = number * column + int(rng.integers(0, column - width + 1))
        resized = Image.fromarray(face).resize((width, height), Image.Resampling.BICUBIC)
        canvas.paste(resized, (left, int(rng.integers(0, size[0] - height + 1))))
    grain = rng.integers(-_GRAIN, _GRAIN + 1, (*size, 1), dtype=np.int16)
    return (np.asarray(canvas) + grain).clip(0, 255).astype(np.uint8)


def _encoded(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=92)
    return file.getvalue()
