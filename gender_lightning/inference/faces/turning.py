"""Faces in pictures that are turned on their side without an EXIF tag that says so."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gender_lightning.inference.faces.face import Box, Confirms, Detector, Face, Reduces, detect_reduced, largest_first

_SURE = 0.995  # score; an upside-down face may be taken for an upright one, at less


class Turning:
    """A detector that also tries the other three quarter turns of a picture in which it finds no face for sure.

    The turn with the highest sum of scores is used. Such a picture takes four times as long.
    """

    def __init__(self, detector: Detector) -> None:
        self.detector = detector

    def detect(self, picture: NDArray[np.uint8]) -> list[Face]:
        """The faces of a picture, RGB uint8 (H, W, 3), the largest first, in its own pixels.

        The eyes of a turned face are in the order of the upright face, so that the face is aligned upright.
        """
        return self.detect_many([picture])[0]

    def detect_many(self, pictures: Sequence[NDArray[np.uint8]]) -> list[list[Face]]:
        """The faces of each of several pictures."""
        return self.detect_reduced(pictures, [1] * len(pictures))

    def detect_reduced(self, pictures: Sequence[NDArray[np.uint8]], reductions: Sequence[int]) -> list[list[Face]]:
        """The faces of copies that were reduced by these factors, in their own pixels."""
        found = detect_reduced(self.detector, pictures, reductions)
        tries = {place: [faces] for place, faces in enumerate(found) if all(face.score < _SURE for face in faces)}
        for turns in (1, 2, 3):
            turned = [np.ascontiguousarray(np.rot90(pictures[place], turns)) for place in tries]
            again = detect_reduced(self.detector, turned, [reductions[place] for place in tries])
            for place, faces in zip(tries, again, strict=True):
                height, width = pictures[place].shape[:2]
                tries[place].append([_turned_back(face, turns, height, width) for face in faces])
        for place, of_turns in tries.items():
            found[place] = largest_first(max(of_turns, key=lambda faces: sum(face.score for face in faces)))
        return found

    def reduction(self, height: int, width: int) -> int:
        """The result of the detector's own `reduction`, if it has one."""
        return self.detector.reduction(height, width) if isinstance(self.detector, Reduces) else 1

    def confirm_many(
        self, pictures: Sequence[NDArray[np.uint8]], eyes: Sequence[NDArray[np.float64]]
    ) -> list[Face | None]:
        """The result of the detector's own `confirm_many`, if it has one: a crop in the training framing is upright."""
        if isinstance(self.detector, Confirms):
            return self.detector.confirm_many(pictures, eyes)
        return [None] * len(pictures)


def _turned_back(face: Face, turns: int, height: int, width: int) -> Face:
    """A face found in `np.rot90(picture, turns)`, in the pixels of the original picture (height, width)."""
    box = face.box
    corners = [(box.left, box.top), (box.left + box.width, box.top + box.height)]
    (x1, y1), (x2, y2) = (_point_back(corner, turns, height, width) for corner in corners)
    left, top = round(min(x1, x2)), round(min(y1, y2))
    first, second = (_point_back(eye, turns, height, width) for eye in face.eyes)
    return Face(Box(left, top, round(abs(x2 - x1)), round(abs(y2 - y1))), (first, second), face.score)


def _point_back(point: tuple[float, float], turns: int, height: int, width: int) -> tuple[float, float]:
    x, y = point
    if turns == 1:  # anticlockwise: the right edge has become the top one
        return width - y, x
    return (width - x, height - y) if turns == 2 else (y, height - x)
