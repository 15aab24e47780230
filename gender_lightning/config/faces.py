"""The fields for finding faces in pictures, which are the same in every command that has them."""

from __future__ import annotations

from typing import Annotated, Protocol

from pydantic import Field

from gender_lightning.faces_choice import WITHOUT_DETECTOR, FacesOrViews

FacesField = Annotated[
    FacesOrViews,
    Field(
        description="auto: detect and align, unless a picture is a face crop in CelebA's framing; detect: always; "
        "tight: never, each picture is a face that fills it and is given a border; none: never, pictures are used as "
        "they are; tta: as auto, averaged over three zooms of the face"
    ),
]
FaceModel = Annotated[
    str | None,
    Field(
        description="yunet: YuNet, downloaded once; or the path of face_detection_yunet_2023mar.onnx; null: MTCNN, "
        "which is installed"
    ),
]
MinFace = Annotated[
    Annotated[int, Field(ge=12)] | None,
    Field(description="side of the smallest face to look for, px; null: 20, or 1/50 of a large picture's side"),
]
Rotate = Annotated[
    bool, Field(description="if no face is found for sure, try the picture on its sides and upside down as well")
]


class _FindsFaces(Protocol):
    @property
    def faces(self) -> FacesOrViews | None: ...
    @property
    def face_model(self) -> str | None: ...
    @property
    def min_face(self) -> int | None: ...
    @property
    def rotate(self) -> bool: ...


def idle_face_fields(config: _FindsFaces) -> list[tuple[str, str]]:
    """The contradiction of fields that have no effect because no faces are looked for; empty if there are none."""
    if config.faces not in WITHOUT_DETECTOR:
        return []
    given = {"face_model": config.face_model is not None, "min_face": config.min_face is not None}
    idle = [name for name, typed in {**given, "rotate": config.rotate}.items() if typed]
    if not idle:
        return []
    verb = "has" if len(idle) == 1 else "have"
    left_out = "Leave it out" if len(idle) == 1 else "Leave them out"
    return [(f"{' and '.join(idle)} {verb} no effect with faces={config.faces}", f"{left_out}, or set faces=auto.")]
