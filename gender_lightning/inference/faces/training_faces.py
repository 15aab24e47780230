"""Where the faces of a training set lie in its pictures, measured on a sample of them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from gender_lightning.data.framing import Framing, Placement
from gender_lightning.inference.faces.alignment import is_framed
from gender_lightning.inference.faces.face import Detector, Face

SAMPLE = 48  # pictures: three seconds on a slow core, and the median of the eyes is known to a fiftieth of their spread
_LEAST_FOUND = 0.5  # of the pictures must show a face
_LEAST_ALIKE = 0.75  # of these must have it where most have it
_LARGEST = 512  # px of the longer side of a typical picture: faces need not be aligned on a larger canvas


def measure_placement(pictures: Iterable[NDArray[np.uint8]], framing: Framing, detector: Detector) -> Placement | None:
    """The typical picture of a training set with the places of its eyes.

    Args:
        pictures: A sample of the training pictures, RGB uint8 (H, W, 3).
        framing: What the network sees of them.
        detector: Finds the faces.

    Returns:
        Median size of the pictures (scaled to at most 512 px) and median places of the eyes of each one's largest
        face, as the network sees them; None where half of them show no face, or where the faces lie at different
        places: such pictures are used as they are.
    """
    seen: list[tuple[Face, int, int]] = []
    sizes: list[tuple[int, int]] = []
    for picture in pictures:
        height, width = picture.shape[:2]
        sizes.append((height, width))
        seen += [(face, height, width) for face in detector.detect(picture)[:1]]
    if len(seen) < max(1, _LEAST_FOUND * len(sizes)):
        return None
    placement = _typical(seen, sizes, framing)
    alike = np.mean([is_framed(face, height, width, framing, placement) for face, height, width in seen])
    return placement if alike >= _LEAST_ALIKE else None


def _typical(seen: list[tuple[Face, int, int]], sizes: list[tuple[int, int]], framing: Framing) -> Placement:
    """Medians, which a few wrong detections do not move: of the sizes, and of the eyes within what is kept."""
    shares = []
    for face, height, width in seen:
        top, left, kept_height, kept_width = framing.box(height, width)
        shares.append((np.array(face.eyes) - (left, top)) / (kept_width, kept_height))
    size = np.median(sizes, axis=0)
    height, width = (max(2, round(float(side))) for side in size * min(1.0, _LARGEST / size.max()))
    top, left, kept_height, kept_width = framing.box(height, width)
    eyes = np.median(shares, axis=0) * (kept_width, kept_height) + (left, top)
    eyes = np.clip(eyes, 0, (width, height)).round(2)  # of faces that the crop cuts through
    eyes[1, 0] = max(eyes[1, 0], eyes[0, 0] + 1)
    left_eye, right_eye = ((float(x), float(y)) for x, y in eyes)
    return Placement(height, width, (left_eye, right_eye))
