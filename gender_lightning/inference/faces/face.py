"""A detected face, and the interface of detectors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from gender_lightning.data.framing import Point


@dataclass(frozen=True)
class Box:
    """A rectangle in whole pixels of the upright picture; it may extend beyond the picture's edge."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True)
class Face:
    """A face in a picture.

    Attributes:
        box: The rectangle around the face.
        eyes: (x, y) of the eye on the picture's left, then of the one on its right, in pixels; (0, 0) is the outer
            corner of the first pixel.
        score: The detector's confidence, in 0..1.
    """

    box: Box
    eyes: tuple[Point, Point]
    score: float

    @property
    def eye_distance(self) -> float:
        """The distance between the eyes, in pixels."""
        return math.dist(*self.eyes)


class Detector(Protocol):
    """Finds faces; can be pickled or forked into workers."""

    def detect(self, picture: NDArray[np.uint8]) -> list[Face]:
        """The faces of a picture, RGB uint8 (H, W, 3), the largest first."""
        ...


@runtime_checkable
class DetectsMany(Protocol):
    """A detector that takes less time for several pictures together than for each by itself."""

    def detect_many(self, pictures: Sequence[NDArray[np.uint8]]) -> list[list[Face]]:
        """The faces of each picture, as `detect` finds them."""
        ...


@runtime_checkable
class Confirms(Protocol):
    """A detector that can look at a single place, which takes a small part of the time of a search."""

    def confirm_many(
        self, pictures: Sequence[NDArray[np.uint8]], eyes: Sequence[NDArray[np.float64]]
    ) -> list[Face | None]:
        """The face of each picture whose eyes are near these places, (2, 2) of (x, y) in pixels, if any."""
        ...


@runtime_checkable
class Reduces(Protocol):
    """A detector that does not need all pixels of a large picture.

    It is told of each picture how far that was reduced, since a least size in pixels means those of the picture itself.
    """

    def reduction(self, height: int, width: int) -> int:
        """The power of two by which a picture of this size may be reduced without losing faces; 1 if it may not."""
        ...

    def detect_reduced(self, pictures: Sequence[NDArray[np.uint8]], reductions: Sequence[int]) -> list[list[Face]]:
        """The faces of copies that were reduced by these factors, in the pixels of the copies."""
        ...


def detect_many(detector: Detector, pictures: Sequence[NDArray[np.uint8]]) -> list[list[Face]]:
    """The faces of each picture, searched together if the detector can do that."""
    if isinstance(detector, DetectsMany):
        return detector.detect_many(pictures)
    return [detector.detect(picture) for picture in pictures]


def detect_reduced(
    detector: Detector, pictures: Sequence[NDArray[np.uint8]], reductions: Sequence[int]
) -> list[list[Face]]:
    """As `detect_many`, of pictures that may be reduced copies."""
    if isinstance(detector, Reduces):
        return detector.detect_reduced(pictures, reductions)
    return detect_many(detector, pictures)


def largest_first(faces: list[Face]) -> list[Face]:
    """The faces in the order in which a detector returns them."""
    return sorted(faces, key=lambda face: -face.box.width * face.box.height)
