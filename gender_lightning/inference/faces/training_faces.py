"""The typical place of the faces in a set of training pictures, measured on a sample."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from gender_lightning.data.datamodule import FaceDataModule
from gender_lightning.data.decoding import decode
from gender_lightning.data.framing import Framing, Placement
from gender_lightning.data.kinds import KINDS
from gender_lightning.inference.faces.alignment import is_framed
from gender_lightning.inference.faces.crops import load_detector
from gender_lightning.inference.faces.face import Detector, Face

log = logging.getLogger(__name__)

SAMPLE = (
    48  # pictures: three seconds on a slow core; the median of the eyes is then known to a fiftieth of their spread
)
_LEAST_FOUND = 0.5  # share of the pictures that must show a face
_LEAST_ALIKE = 0.75  # share of these faces that must be at the typical place
_LARGEST = 512  # px: longest side of a typical picture, since faces need not be aligned on a larger canvas


def placement_of(data: FaceDataModule, split: str) -> Placement | None:
    """Where the faces are in training pictures that are used as they are: known for the kind of data, or measured.

    Args:
        data: The data, set up.
        split: The split that is learned from.

    Returns:
        See `measure_placement`.
    """
    known = KINDS[data.config.name].placement
    if known is not None:
        return known
    dataset = data.dataset(split)
    rows = np.random.default_rng(0).choice(len(dataset), min(SAMPLE, len(dataset)), replace=False)
    ids = dataset.index.image_ids[np.sort(rows)]
    pictures = (decode(dataset.store.read(image_id), path=dataset.store.describe(image_id)) for image_id in ids)
    placement = measure_placement(pictures, data.framing, load_detector())
    if placement is None:
        log.info("The faces are at no common place in the training pictures: predict will use pictures as they are.")
    else:
        said = ", ".join(f"({x:.0f}, {y:.0f})" for x, y in placement.eyes)
        log.info(
            "The eyes in the training pictures are at %s of %d x %d px: predict will align faces that are elsewhere.",
            said, placement.width, placement.height,
        )  # fmt: skip
    return placement


def measure_placement(pictures: Iterable[NDArray[np.uint8]], framing: Framing, detector: Detector) -> Placement | None:
    """The typical size of training pictures and the typical places of the eyes in them.

    Args:
        pictures: A sample of the training pictures, RGB uint8 (H, W, 3).
        framing: The part of a picture that the network sees.
        detector: Finds the faces.

    Returns:
        Median size of the pictures (scaled to at most 512 px) and median places of the eyes of each picture's largest
        face, within the part that the network sees; None if half of the pictures show no face, or if the faces are at
        different places. Such pictures are used as they are.
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
    """Medians, which a few wrong detections do not move, of the sizes and of the eyes within the part that is kept."""
    shares = []
    for face, height, width in seen:
        top, left, kept_height, kept_width = framing.box(height, width)
        shares.append((np.array(face.eyes) - (left, top)) / (kept_width, kept_height))
    size = np.median(sizes, axis=0)
    height, width = (max(2, round(float(side))) for side in size * min(1.0, _LARGEST / size.max()))
    top, left, kept_height, kept_width = framing.box(height, width)
    eyes = np.median(shares, axis=0) * (kept_width, kept_height) + (left, top)
    eyes = np.clip(eyes, 0, (width, height)).round(2)  # the crop may cut through the faces
    eyes[1, 0] = max(eyes[1, 0], eyes[0, 0] + 1)
    left_eye, right_eye = ((float(x), float(y)) for x, y in eyes)
    return Placement(height, width, (left_eye, right_eye))
