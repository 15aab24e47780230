"""The faces of a picture, cut out as the network expects them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from gender_lightning.data.decoding import frame
from gender_lightning.data.framing import CELEBA, Framing, Placement
from gender_lightning.errors import UserError
from gender_lightning.faces_choice import WITHOUT_DETECTOR, FacesOrViews
from gender_lightning.inference.faces.alignment import align, enlargement, expected_eyes, is_crop_sized, is_framed
from gender_lightning.inference.faces.face import Box, Confirms, Detector, Face, Reduces, detect_reduced
from gender_lightning.inference.faces.reduced import AnyPicture, Reduced, pixels_of, scaled, size_of
from gender_lightning.inference.faces.turning import Turning
from gender_lightning.models.checkpoints.checkpoint import ModelSpec
from gender_lightning.models.sharing import prepare_thread

Status = Literal["face", "crop", "no_face"]
# Where a face that fills its picture is taken to have its eyes, as shares of the width and height. In UTKFace's chips
# they are 0.39 of the width apart and 0.29 of the height below the top, in crops from the web 0.45 and 0.40 (medians of
# 70 each): this is between the two.
TIGHT_EYES = ((0.29, 0.35), (0.71, 0.35))
NOT_FOUND = "no face found in it, taken for a face crop"
_OVERSAMPLED = 1.5  # times the network's resolution, from which a face can be resampled twice and stay as sharp
_BLURRED = 2.0  # a face that is enlarged by more than this factor has less detail than the training pictures


@dataclass(frozen=True)
class Crop:
    """A face as the network expects it.

    Attributes:
        pixels: RGB uint8 (S, S, 3), or several framings of the face side by side, see `SideBySide`.
        box: Place of the face in the upright picture, or of the part that was used if no face was detected.
        status: ``face``: detected and aligned; ``crop``: the picture is a face crop already and was used as it is.
        note: A remark for the reader of the result; may be empty.
    """

    pixels: NDArray[np.uint8]
    box: Box
    status: Status
    note: str = ""


@dataclass(frozen=True)
class Choice:
    """The part of a picture to cut out: one of its faces, or None for the picture as it is."""

    face: Face | None
    note: str = ""


class Cropper:
    """Decides which part of a picture the network sees; can be pickled or forked into workers.

    ``none``: the picture, framed as in training. ``tight``: the picture as a crop that one face fills, as detectors cut
    them; it is aligned by the places that eyes have in such crops (`TIGHT_EYES`), so that a border of its repeated edge
    surrounds it. ``detect``: every face that is found, aligned to the places that the eyes have in the training
    pictures (CelebA's if those are unknown). ``auto``: it depends on the picture, which is used as it is if one of
    these holds, and otherwise treated as with ``detect``:

    1. the training pictures were used as they are, with faces at no known place (`Placement` is None); or
    2. the eyes of its largest face are where the training pictures have them, within half the distance between the
       eyes (in a picture larger than twice a training picture, further faces are treated as with ``detect``); or
    3. no face is found in it, and it is at most twice as large as a training picture.

    ``tta`` is ``auto`` for a network that sees several views of a face, see `models.views`.
    """

    def __init__(
        self,
        framing: Framing,
        faces: FacesOrViews = "auto",
        detector: Detector | None = None,
        placement: Placement | None = CELEBA,
    ) -> None:
        """Without a detector, the default one is loaded when it is first needed.

        Args:
            framing: Framing of the checkpoint.
            faces: ``auto``, ``detect``, ``tight``, ``none`` or ``tta``, as above.
            detector: Finds the faces.
            placement: Where the eyes are in the training pictures of the checkpoint.

        Raises:
            UserError: `faces` is none of the five.
        """
        if faces not in get_args(FacesOrViews):
            raise UserError(
                f"faces={faces} is not a choice.", f"Use one of: {', '.join(get_args(FacesOrViews))}.", field="faces"
            )
        self.framing = framing
        self.faces = "auto" if faces == "tta" else faces
        self.placement = placement or CELEBA
        self.detects = faces == "detect" or (self.faces == "auto" and placement is not None)
        self.aligns = self.detects or (self.faces == "tight" and placement is not None)
        self._detector = detector
        self._resolution = _resolution(framing, self.placement)

    @property
    def remark(self) -> str:
        """What a user should know about this choice, once for all pictures; usually empty."""
        if self.aligns or self.faces == "none":
            return ""
        return (
            f"faces={self.faces}: this model was trained on whole pictures without alignment, so these pictures are "
            "used as they are too. faces=detect finds the faces and aligns them like CelebA's."
        )

    @classmethod
    def of(cls, spec: ModelSpec, faces: FacesOrViews = "auto", detector: Detector | None = None) -> Cropper:
        """The cropper for a checkpoint; arguments and errors as above."""
        return cls(spec.framing, faces, detector, spec.placement)

    @property
    def detector(self) -> Detector:
        """The detector that was given, or the default one."""
        if self._detector is None:
            self._detector = load_detector()
        return self._detector

    def crops(self, picture: NDArray[np.uint8]) -> list[Crop]:
        """The faces of a picture, RGB uint8 (H, W, 3), the largest first; an empty list if no face is found."""
        return self.crops_of([picture])[0]

    def reduction(self, height: int, width: int) -> int:
        """The power of two by which a picture of this size may be reduced before its faces are looked for."""
        return self.detector.reduction(height, width) if self.detects and isinstance(self.detector, Reduces) else 1

    def crops_of(self, pictures: Sequence[AnyPicture]) -> list[list[Crop]]:
        """The faces of each of several pictures, which take less time together."""
        prepare_thread()
        chosen = self.choices_of(pictures)
        return [self._cut(picture, choices) for picture, choices in zip(pictures, chosen, strict=True)]

    def choices(self, picture: NDArray[np.uint8]) -> list[Choice]:
        """The parts that `crops` cuts out, without cutting them."""
        return self.choices_of([picture])[0]

    def choices_of(self, pictures: Sequence[AnyPicture]) -> list[list[Choice]]:
        """The parts of each of several pictures, in the pixels of the pictures themselves."""
        reductions = [picture.reduction if isinstance(picture, Reduced) else 1 for picture in pictures]
        chosen = self._choices([pixels_of(picture) for picture in pictures], reductions)
        for place, picture in enumerate(pictures):
            if isinstance(picture, Reduced):
                chosen[place] = [_scaled(choice, picture.reduction) for choice in chosen[place]]
        return chosen

    def _choices(self, pictures: Sequence[NDArray[np.uint8]], reductions: Sequence[int]) -> list[list[Choice]]:
        if not self.aligns:
            return [[Choice(None)] for _ in pictures]
        if self.faces == "tight":
            return [[_choice_of(tight_face(*size_of(picture)))] for picture in pictures]
        chosen = [[Choice(None)] for _ in pictures]
        confirmed = self._confirmed(pictures) if self.faces == "auto" else set()
        rest = [place for place in range(len(pictures)) if place not in confirmed]
        searched = detect_reduced(self.detector, [pictures[at] for at in rest], [reductions[at] for at in rest])
        for place, found in zip(rest, searched, strict=True):
            chosen[place] = self._chosen(pictures[place], found)
        return chosen

    def _chosen(self, picture: NDArray[np.uint8], found: list[Face]) -> list[Choice]:
        """The parts of a picture in which these faces were found."""
        chosen = [_choice_of(face) for face in found]
        if self.faces == "auto":
            small = self._is_small(picture)
            if not found and small:
                return [Choice(None, NOT_FOUND)]
            if found and self._is_framed(picture, found[0]):
                return [Choice(None), *([] if small else chosen[1:])]
        return chosen

    def _confirmed(self, pictures: Sequence[NDArray[np.uint8]]) -> set[int]:
        """The positions of pictures that a look at the expected place alone shows to be crops as in training."""
        small = [place for place, picture in enumerate(pictures) if self._is_small(picture)]
        if not isinstance(self.detector, Confirms) or not small:
            return set()
        some = [pictures[place] for place in small]
        eyes = [expected_eyes(*size_of(picture), self.framing, self.placement) for picture in some]
        faces = zip(small, some, self.detector.confirm_many(some, eyes), strict=True)
        return {place for place, picture, face in faces if face is not None and self._is_framed(picture, face)}

    def _is_small(self, picture: NDArray[np.uint8]) -> bool:
        return is_crop_sized(picture.shape[0], picture.shape[1], self.placement)

    def _is_framed(self, picture: NDArray[np.uint8], face: Face) -> bool:
        return is_framed(face, picture.shape[0], picture.shape[1], self.framing, self.placement)

    def aligned(self, picture: NDArray[np.uint8], choice: Choice) -> NDArray[np.uint8]:
        """The picture with the face where the training pictures have it, still to be framed."""
        return picture if choice.face is None else align(picture, choice.face, self.placement)

    def _cut(self, picture: AnyPicture, choices: list[Choice]) -> list[Crop]:
        """The parts, out of the reduced copy if that has all the detail that the network can see."""
        height, width = size_of(picture)
        reduction = picture.reduction if isinstance(picture, Reduced) else 1
        pixels = pixels_of(picture)
        if isinstance(picture, Reduced) and not all(self._has_detail(picture, choice) for choice in choices):
            pixels, reduction = picture.whole(), 1
        crops = []
        for choice in choices:
            cut = frame(self.aligned(pixels, _scaled(choice, 1 / reduction)), self.framing)
            if choice.face is not None:
                status: Status = "face" if self.detects else "crop"
                crops.append(Crop(cut, choice.face.box, status, choice.note))
            else:
                top, left, kept_height, kept_width = self.framing.box(height, width)
                crops.append(Crop(cut, Box(left, top, kept_width, kept_height), "crop", choice.note))
        return crops

    def _has_detail(self, picture: Reduced, choice: Choice) -> bool:
        if choice.face is not None:
            return choice.face.eye_distance >= picture.reduction * self._resolution * self.placement.eye_distance
        return min(self.framing.box(*picture.pixels.shape[:2])[2:]) >= self.framing.image_size


def _resolution(framing: Framing, placement: Placement) -> float:
    """Share of a training picture's resolution below which a face would lose what the network can see; at most 1."""
    seen = (part.image_size / min(part.box(placement.height, placement.width)[2:]) for part in framing.parts)
    return min(1.0, _OVERSAMPLED * max(seen))


def _scaled(choice: Choice, factor: float) -> Choice:
    """The choice in a picture that is larger by this factor."""
    if choice.face is None or factor == 1:
        return choice
    return _choice_of(scaled(choice.face, factor))


def tight_face(height: int, width: int) -> Face:
    """The face that fills a picture of this height and width, with the eyes at `TIGHT_EYES`."""
    left, right = ((x * width, y * height) for x, y in TIGHT_EYES)
    return Face(Box(0, 0, width, height), (left, right), score=1.0)


def _choice_of(face: Face) -> Choice:
    return Choice(face, _note(face))


def _note(face: Face) -> str:
    return f"small face: {face.eye_distance:.0f} px between the eyes" if enlargement(face) > _BLURRED else ""


@dataclass(frozen=True)
class FaceSearch:
    """The settings for finding faces, with the names and meanings of the fields in every command.

    Attributes:
        faces: How faces are found, see `Cropper`.
        face_model: Model file of the detector, see `load_detector`.
        min_face: Side in pixels of the smallest face to look for, see `load_detector`.
        rotate: Whether turned pictures are tried, see `load_detector`.
    """

    faces: FacesOrViews = "auto"
    face_model: str | None = None
    min_face: int | None = None
    rotate: bool = False

    @classmethod
    def of(cls, section: Any) -> FaceSearch:
        """The settings of a command's section, read from its fields of the same names."""
        return cls(**{field.name: getattr(section, field.name) for field in dataclasses.fields(cls)})

    def detector(self) -> Detector | None:
        """The detector for these settings; None for the default one, which is loaded when it is first needed.

        Raises:
            UserError: See `load_detector`.
        """
        if self.faces in WITHOUT_DETECTOR or replace(self, faces="auto") == FaceSearch():
            return None
        return load_detector(self.face_model, self.min_face, rotate=self.rotate)

    def cropper(self, spec: ModelSpec) -> Cropper:
        """The cropper that cuts out faces as a checkpoint expects them; errors as above."""
        return Cropper.of(spec, self.faces, self.detector())


def load_detector(
    model: str | os.PathLike[str] | None = None, min_face: int | None = None, *, rotate: bool = False
) -> Detector:
    """The detector that `face_model=` names.

    Args:
        model: YuNet's model file, or ``yunet`` to download it once; None means MTCNN, whose weights are installed.
        min_face: Side in pixels of the smallest face that is reported; None means the detector's default.
        rotate: Whether a picture in which no face is found for sure is also tried upside down and on its sides.

    Raises:
        UserError: The file is not YuNet's or cannot be downloaded, or MTCNN's weights are not installed.
    """
    detector: Detector
    if model is not None:
        from gender_lightning.inference.faces.yunet import Yunet, fetch

        detector = Yunet(fetch() if model == "yunet" else Path(model).expanduser(), min_face)
    else:
        from gender_lightning.inference.faces.mtcnn import Mtcnn

        detector = Mtcnn(min_face)
    return Turning(detector) if rotate else detector
