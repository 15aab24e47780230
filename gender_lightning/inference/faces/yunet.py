"""YuNet through OpenCV, which needs its model file: better than MTCNN on small, turned and covered faces.

W. Wu, H. Peng, S. Yu: YuNet: A Tiny Millisecond-level Face Detector, 2023. The file is OpenCV Zoo's
face_detection_yunet_2023mar.onnx (MIT licence), downloaded on request from OpenCV's pages on the Hugging Face hub.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gender_lightning.errors import UserError
from gender_lightning.inference.faces.face import Box, Face, largest_first

FILE = "face_detection_yunet_2023mar.onnx"
SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
REPOSITORY = "opencv/face_detection_yunet"
_SCORE = 0.8
# Largest picture for the network, which was trained on faces of 10 to 300 px. The limit is an area: a limit on the
# longer side would shrink the faces in a panorama too far.
_MOST_PIXELS = 1280 * 960


class Yunet:
    """Finds faces and their eyes, several times faster than MTCNN."""

    def __init__(self, model: Path, min_face: int | None = None) -> None:
        """Check and load the model file.

        Args:
            model: Path of the file, under any name.
            min_face: Side in pixels of the smallest face that is reported; None reports all.

        Raises:
            UserError: The file is missing, or its SHA-256 is not that of the published file.
        """
        self.model = model
        self.min_face = min_face or 0
        _check(model)
        self._net: Any = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out OpenCV's object, which cannot be pickled: each worker creates its own."""
        return {**vars(self), "_net": None}

    def reduction(self, height: int, width: int) -> int:
        """How far a picture may be reduced and still be larger than what the network is shown: 1, 2, 4 or 8."""
        return next((factor for factor in (8, 4, 2) if height * width >= factor**2 * _MOST_PIXELS), 1)

    def detect(self, picture: NDArray[np.uint8]) -> list[Face]:
        """The faces of a picture, RGB uint8 (H, W, 3), the largest first."""
        return self._detect(picture, self.min_face)

    def detect_reduced(self, pictures: Sequence[NDArray[np.uint8]], reductions: Sequence[int]) -> list[list[Face]]:
        """The faces of copies that were reduced by these factors, in their own pixels."""
        return [self._detect(one, self.min_face / factor) for one, factor in zip(pictures, reductions, strict=True)]

    def _detect(self, picture: NDArray[np.uint8], least: float) -> list[Face]:
        import cv2

        height, width = picture.shape[:2]
        factor = min(1.0, math.sqrt(_MOST_PIXELS / (height * width)))
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
        if factor < 1:
            bgr = cv2.resize(bgr, size, interpolation=cv2.INTER_AREA)
        if self._net is None:
            self._net = cv2.FaceDetectorYN.create(str(self.model), "", size, score_threshold=_SCORE)
        self._net.setInputSize(size)
        _, found = self._net.detect(bgr)
        rows = np.zeros((0, 15)) if found is None else np.asarray(found, dtype=np.float64)
        faces = [_face(row / factor, float(row[14])) for row in rows]
        return largest_first([face for face in faces if face.box.width >= least])


def fetch() -> Path:
    """YuNet's model file, from the hub's cache or the network.

    Raises:
        UserError: The file is not in the cache and cannot be downloaded.
    """
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    from gender_lightning.models.checkpoints.weights import hub_offline_if_unreachable, reason_of

    cached = try_to_load_from_cache(REPOSITORY, FILE)
    if isinstance(cached, str):  # only one SHA-256 is accepted, so there is no newer file to ask for
        return Path(cached)
    try:
        with hub_offline_if_unreachable():
            return Path(hf_hub_download(REPOSITORY, FILE))
    except (OSError, ValueError) as error:  # network and disk; LocalEntryNotFoundError is both
        raise UserError(
            f"face_model=yunet: {FILE} could not be downloaded ({reason_of(error)}).",
            "Give a file of your own, face_model=PATH, or leave face_model out to use MTCNN, which is installed.",
            field="face_model",
        ) from error


def _face(row: NDArray[np.float64], score: float) -> Face:
    """A row of `FaceDetectorYN.detect`: x, y, width, height, then (x, y) of both eyes, nose and mouth corners."""
    left, top, width, height = (round(float(value)) for value in row[:4])
    first, second = sorted([(float(row[4]), float(row[5])), (float(row[6]), float(row[7]))])
    return Face(Box(left, top, max(1, width), max(1, height)), (first, second), score)


def _check(model: Path) -> None:
    try:
        content = model.read_bytes()
    except OSError as error:
        raise UserError(
            f"{model} cannot be read: {error.strerror}.", f"Give {FILE} from OpenCV Zoo.", field="face_model"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        pointer = content.startswith(b"version https://git-lfs")
        hint = " It is a Git LFS pointer, not the model itself." if pointer else ""
        raise UserError(
            f"{model} is not {FILE}: its SHA-256 is {found}, not {SHA256}.{hint}",
            "Download the file again, or leave face_model out.",
            field="face_model",
        )
