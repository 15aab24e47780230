"""Alignment of faces to the places that they have in the training pictures.

CelebA's aligned pictures are 178 x 218 pixels with the eyes at fixed places. A face that a detector finds in a
photograph is moved so that its eyes are where they were in training: the network then sees what it has learned from.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from gender_lightning.data.framing import CELEBA, Framing, Placement
from gender_lightning.inference.faces.face import Face

# How far the eyes of a crop may be from their expected places, in units of the distance between the eyes, and the range
# of that distance relative to the expected one. All but a few pictures of celeba-mini's valid split, which is framed a
# little wider than CelebA, are within these limits.
_MOST_SHIFT = 0.5
_SIZES = (0.65, 1.5)
_MOST_TILT = 0.27  # ratio of the eyes' difference in height to their distance: 15 degrees
# Share of a training picture's height. Of 500 chips of UTKFace, most of which end at the forehead, a ResNet18 trained
# on CelebA had 0.904 right without it and 0.922 with it (500 crops from the web: 0.952, 0.960): a repeated edge in
# place of hair misleads more than a lower framing.
_MOST_LOWERED = 0.0275
_LARGEST = 2  # times a training picture's height and width: a larger picture is treated as a photograph


def is_crop_sized(height: int, width: int, placement: Placement) -> bool:
    """Whether a picture is at most twice as high and as wide as a typical training picture."""
    return height <= _LARGEST * placement.height and width <= _LARGEST * placement.width


def expected_eyes(height: int, width: int, framing: Framing, placement: Placement) -> NDArray[np.float64]:
    """Where the eyes are in a picture that is framed as the training pictures were: (2, 2) of (x, y) in pixels.

    The part of the picture that `framing` keeps is compared with the part of a training picture that it keeps.
    """
    top, left, kept_height, kept_width = framing.box(height, width)
    model_top, model_left, model_height, model_width = framing.box(placement.height, placement.width)
    scale = np.array([kept_width / model_width, kept_height / model_height])
    eyes: NDArray[np.float64] = (np.array(placement.eyes) - (model_left, model_top)) * scale + (left, top)
    return eyes


def is_framed(face: Face, height: int, width: int, framing: Framing, placement: Placement = CELEBA) -> bool:
    """Whether the eyes of a face are about where the network saw them in training."""
    expected = expected_eyes(height, width, framing, placement)
    found = np.array(face.eyes)
    distance = float(expected[1, 0] - expected[0, 0])
    shift = float(np.abs(found.mean(axis=0) - expected.mean(axis=0)).max()) / distance
    size = face.eye_distance / distance
    tilt = abs(found[1, 1] - found[0, 1]) / max(face.eye_distance, 1e-6)
    return shift <= _MOST_SHIFT and _SIZES[0] <= size <= _SIZES[1] and tilt <= _MOST_TILT


def enlargement(face: Face) -> float:
    """Factor by which a face is enlarged to the size of CelebA's faces; below 1 for a face that is larger."""
    return CELEBA.eye_distance / max(face.eye_distance, 1e-6)


def align(picture: NDArray[np.uint8], face: Face, placement: Placement = CELEBA) -> NDArray[np.uint8]:
    """Apply the similarity transform that puts the eyes of a face where a training picture has them.

    Args:
        picture: RGB uint8 (H, W, 3).
        face: One of its faces.
        placement: Size and eyes of the training pictures.

    Returns:
        RGB uint8 of the placement's height and width, (218, 178, 3) for CelebA. The area outside the picture repeats
        its edge, as in CelebA. Where the picture ends above the head, the eyes are put up to 3 % of the height higher,
        so that less of that area is shown. Shrinking is antialiased.
    """
    start, end = (complex(*eye) for eye in face.eyes)
    first, second = (complex(*eye) for eye in placement.eyes)
    turn = (end - start) / (second - first)  # from the canvas to the picture: z -> origin + turn * z
    origin = start - turn * first
    origin += turn * 1j * _lowered(picture, origin, turn, placement)
    size = placement.height, placement.width
    part, left, top = _surroundings(picture, origin, turn, size)
    shrunk = _shrink(part, 1 / abs(turn))
    grid = _grid(origin - complex(left, top), turn, size, part.shape[:2])
    warped = functional.grid_sample(shrunk[None], grid[None], "bilinear", "border", align_corners=False)[0]
    # numbers of 32 bits are transposed in a quarter of the time of bytes
    result: NDArray[np.uint8] = warped.permute(1, 2, 0).contiguous().round_().to(torch.uint8).numpy()
    return result


def _grid(origin: complex, turn: complex, size: tuple[int, int], of: tuple[int, int]) -> torch.Tensor:
    """float32 (H, W, 2): where a canvas of this size is in a picture of height and width `of`.

    In x and y as `grid_sample` counts, from -1 to 1 between the outer edges.
    """
    down, across = (torch.arange(side, dtype=torch.float32) + 0.5 for side in size)
    grid = torch.empty((*size, 2))
    for place, (first, right, below, side) in enumerate(
        ((origin.real, turn.real, -turn.imag, of[1]), (origin.imag, turn.imag, turn.real, of[0]))
    ):
        rows = down * (2 / side * below) + (2 / side * first - 1)
        grid[..., place] = rows[:, None] + across * (2 / side * right)
    return grid


def _lowered(picture: NDArray[np.uint8], origin: complex, turn: complex, placement: Placement) -> float:
    """How far the canvas moves down, in its pixels, so that less of what lies above the picture shows."""
    top = origin + turn * placement.width / 2
    height, width = picture.shape[:2]
    outside = max(0.0, -top.real, top.real - width, -top.imag, top.imag - height)  # in whichever direction is up
    return float(min(outside / abs(turn), _MOST_LOWERED * placement.height))


def _surroundings(
    picture: NDArray[np.uint8], origin: complex, turn: complex, size: tuple[int, int]
) -> tuple[NDArray[np.uint8], int, int]:
    """The part of the picture that a canvas of this height and width shows, with a margin; its left and top edges."""
    height, width = picture.shape[:2]
    corners = [origin + turn * complex(x, y) for x in (0, size[1]) for y in (0, size[0])]
    margin = 2 + round(abs(turn))
    left, right = _between([corner.real for corner in corners], margin, width)
    top, bottom = _between([corner.imag for corner in corners], margin, height)
    return np.ascontiguousarray(picture[top:bottom, left:right]), left, top


def _between(places: list[float], margin: int, length: int) -> tuple[int, int]:
    """The first and last of these places with a margin, in whole pixels within a length; at least one pixel."""
    first = min(max(0, math.floor(min(places)) - margin), length - 1)
    return first, min(max(math.ceil(max(places)) + margin, first + 1), length)


def _shrink(part: NDArray[np.uint8], factor: float) -> torch.Tensor:
    """The part as float32 (3, h, w), reduced to about the scale of the result if that is smaller."""
    pixels = torch.from_numpy(part if part.flags.writeable else part.copy()).permute(2, 0, 1)
    if factor < 1:
        size = [max(1, round(side * factor)) for side in part.shape[:2]]
        pixels = functional.interpolate(pixels[None], size, mode="bilinear", antialias=True, align_corners=False)[0]
    return pixels.float()
