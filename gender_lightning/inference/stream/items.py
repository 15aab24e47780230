"""The records that pictures pass through on their way from a source to rows."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gender_lightning.inference.faces.face import Box
from gender_lightning.models.checkpoints.checkpoint import Answer

COLUMNS = {
    "image": "string", "frame": "int32", "second": "float64", "face": "int32", "label": "string",
    "probability": "float32", "left": "int32", "top": "int32", "width": "int32", "height": "int32",
    "status": "string", "note": "string",
}  # fmt: skip
DISAGREEMENT = "disagreement"  # float32, the last column of a table that several checkpoints have made together
Row = dict[str, Any]  # a plain value for each of COLUMNS, or None; the same rows of a table have DISAGREEMENT


@dataclass(frozen=True)
class Item:
    """A picture that is to be predicted.

    Attributes:
        name: Name in the output.
        path: Path of the file.
        frame: Number within a video, from 0; None for a picture.
        second: Time of the frame in seconds; None for a picture.
        pixels: The frame, RGB uint8 (H, W, 3); None for a picture, which is read from its file.
        problem: Reason why it cannot be read, if that is known already; usually empty.
        done: Whether it has its rows already, so that it only has to be drawn.
        cut: Whether it is the first frame of a new shot of a video.
    """

    name: str
    path: str
    frame: int | None = None
    second: float | None = None
    pixels: NDArray[np.uint8] | None = field(default=None, repr=False, compare=False)
    problem: str = ""
    done: bool = False
    cut: bool = False


@dataclass(frozen=True)
class DetectedFace:
    """A face that has not been classified yet."""

    box: Box
    status: str
    note: str


@dataclass(frozen=True)
class SearchedPicture:
    """A picture that has been opened and searched for faces.

    Attributes:
        item: The picture, without its pixels unless they are still needed.
        faces: Its faces, in the order of the batch.
        status: Why there are no faces: ``no_face`` or ``unreadable``; meaningless if there are some.
        note: Conversions of the picture, or the reason why it cannot be read.
    """

    item: Item
    faces: tuple[DetectedFace, ...] = ()
    status: str = "no_face"
    note: str = ""


@dataclass(frozen=True)
class PredictedPicture:
    """A picture with all of its rows."""

    item: Item
    rows: tuple[Row, ...]


def columns_of(row: Row | None) -> dict[str, str]:
    """The columns of a table and their types, by one of its rows."""
    return COLUMNS if row is None or DISAGREEMENT not in row else COLUMNS | {DISAGREEMENT: "float32"}


def predicted(
    picture: SearchedPicture, labels: list[str], answers: list[Answer], *, disagrees: bool = False
) -> PredictedPicture:
    """A picture with its rows: one per face, or a single one that says why there is no face.

    Args:
        picture: The picture, searched for faces.
        labels: The label of each face.
        answers: What the network says about each face.
        disagrees: Whether the rows have the column `DISAGREEMENT`.
    """
    start = {"image": picture.item.name, "frame": picture.item.frame, "second": picture.item.second}
    if not picture.faces:
        empty = dict.fromkeys(("face", "label", "probability", "left", "top", "width", "height"))
        row = {**start, **empty, "status": picture.status, "note": picture.note}
        return PredictedPicture(picture.item, (row | ({DISAGREEMENT: None} if disagrees else {}),))
    rows = []
    for number, (face, label, answer) in enumerate(zip(picture.faces, labels, answers, strict=True)):
        assert math.isfinite(answer.probability)
        place = {"left": face.box.left, "top": face.box.top, "width": face.box.width, "height": face.box.height}
        note = "; ".join(text for text in (picture.note, face.note) if text)
        prediction = {"face": number, "label": label, "probability": answer.probability, **place}
        row = {**start, **prediction, "status": face.status, "note": note}
        rows.append(row | ({DISAGREEMENT: answer.disagreement} if disagrees else {}))
    return PredictedPicture(picture.item, tuple(rows))
