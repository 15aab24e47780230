"""From a picture to the faces that the network is shown."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from gender_lightning.data.decoding import frame
from gender_lightning.data.framing import Framing
from gender_lightning.errors import UserError
from gender_lightning.inference.faces.alignment import align, enlargement, has_celeba_shape, is_framed
from gender_lightning.inference.faces.face import Box, Detector
from gender_lightning.models.sharing import one_thread_after_fork

Faces = Literal["auto", "detect", "none"]
Status = Literal["face", "crop", "no_face"]
_SMALL = 218  # px: a picture no larger than CelebA's, in which no face is found, is taken for the crop of one
_BLURRED = 2.0  # a face that must be enlarged more than that shows less than the network is used to


@dataclass(frozen=True)
class Crop:
    """A face as the network wants it.

    Attributes:
        pixels: RGB uint8 (S, S, 3).
        box: Of the face in the upright picture; of the part that was used where nothing was detected.
        status: ``face``: detected and aligned; ``crop``: the picture is a face crop already, and used as it is.
        note: What a reader of the result should know; may be empty.
    """

    pixels: NDArray[np.uint8]
    box: Box
    status: Status
    note: str = ""


class Cropper:
    """Decides what of a picture is shown to the network; can be pickled or forked into workers.

    ``none``: the picture, framed as in training. ``detect``: every face that is found, aligned to CelebA's framing.
    ``auto``: a picture that is a face crop already is used as it is, any other as by ``detect``. It is one if

    1. it has CelebA's proportions (178 x 218) and is at most 436 px high: no detector is asked then; or
    2. its only face has the eyes where CelebA's pictures have them, within half the distance between the eyes; or
    3. no face is found in it, and it is no larger than 218 x 218 px.
    """

    def __init__(self, framing: Framing, faces: Faces = "auto", detector: Detector | None = None) -> None:
        """Without a detector the default one is loaded when it is first needed.

        Raises:
            UserError: There is no such way to look for faces.
        """
        if faces not in get_args(Faces):
            raise UserError(f"faces={faces}: there is no such choice. Use one of: {', '.join(get_args(Faces))}.")
        self.framing = framing
        self.faces = faces
        self._detector = detector

    @property
    def detector(self) -> Detector:
        """The one given, or the default one."""
        if self._detector is None:
            self._detector = load_detector()
        return self._detector

    def crops(self, picture: NDArray[np.uint8]) -> list[Crop]:
        """The faces of a picture, RGB uint8 (H, W, 3), the largest first; none where no face is found."""
        one_thread_after_fork()
        height, width = picture.shape[:2]
        if self.faces == "none" or (self.faces == "auto" and has_celeba_shape(height, width)):
            return [self.whole(picture)]
        found = self.detector.detect(picture)
        if self.faces == "auto":
            if not found and max(height, width) <= _SMALL:
                return [self.whole(picture, "no face found in it, taken for a face crop")]
            if len(found) == 1 and is_framed(found[0], height, width, self.framing):
                return [self.whole(picture)]
        crops = []
        for face in found:
            blurred = enlargement(face) > _BLURRED
            note = f"small face: {face.eye_distance:.0f} px between the eyes" if blurred else ""
            crops.append(Crop(frame(align(picture, face), self.framing), face.box, "face", note))
        return crops

    def whole(self, picture: NDArray[np.uint8], note: str = "") -> Crop:
        """The picture as it is, framed as in training."""
        top, left, height, width = self.framing.box(*picture.shape[:2])
        return Crop(frame(picture, self.framing), Box(left, top, width, height), "crop", note)


def load_detector(model: str | os.PathLike[str] | None = None, min_face: int | None = None) -> Detector:
    """The detector that `face_model=` names.

    Args:
        model: YuNet's model file, or `yunet` to fetch it once; None: MTCNN, whose weights are installed.
        min_face: Side in pixels of the smallest face that is reported; None: the detector's own.

    Raises:
        UserError: The file is not YuNet's or cannot be fetched, or MTCNN's weights are not installed.
    """
    if model is not None:
        from gender_lightning.inference.faces.yunet import Yunet, fetch

        return Yunet(fetch() if model == "yunet" else Path(model).expanduser(), min_face)
    from gender_lightning.inference.faces.mtcnn import Mtcnn

    return Mtcnn(min_face)
