"""What travels from a source to a row."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gender_lightning.inference.faces.face import Box

COLUMNS = {
    "image": "string", "frame": "int32", "second": "float64", "face": "int32", "label": "string",
    "probability": "float32", "left": "int32", "top": "int32", "width": "int32", "height": "int32",
    "status": "string", "note": "string",
}  # fmt: skip
Row = dict[str, Any]  # by COLUMNS, plain values; None where there is nothing to say


@dataclass(frozen=True)
class Item:
    """A picture that is to be predicted.

    Attributes:
        name: As it stands in the output.
        path: The file.
        frame: Number within a video, from 0; None for a picture.
        second: Time of the frame.
        pixels: RGB uint8 (H, W, 3) of a frame; None: read the file.
        problem: Why it cannot be read, where that is known already; mostly empty.
        done: It has its rows already, and is only to be drawn.
    """

    name: str
    path: str
    frame: int | None = None
    second: float | None = None
    pixels: NDArray[np.uint8] | None = field(default=None, repr=False, compare=False)
    problem: str = ""
    done: bool = False


@dataclass(frozen=True)
class Seen:
    """A face before the network has said anything of it."""

    box: Box
    status: str
    note: str


@dataclass(frozen=True)
class Looked:
    """A picture after it was opened and searched for faces.

    Attributes:
        item: Without its pixels, unless they are wanted still.
        faces: In the order of the faces in the batch.
        status: Of the picture where there are none: ``no_face`` or ``unreadable``.
        note: What was done to the picture, or why it cannot be read.
    """

    item: Item
    faces: tuple[Seen, ...] = ()
    status: str = "no_face"
    note: str = ""


@dataclass(frozen=True)
class Judged:
    """A picture with all of its rows."""

    item: Item
    rows: tuple[Row, ...]


def judged(looked: Looked, labels: list[str], probabilities: list[float]) -> Judged:
    """The rows of a picture: one per face, or one that says why there is none."""
    start = {"image": looked.item.name, "frame": looked.item.frame, "second": looked.item.second}
    if not looked.faces:
        empty = dict.fromkeys(("face", "label", "probability", "left", "top", "width", "height"))
        return Judged(looked.item, ({**start, **empty, "status": looked.status, "note": looked.note},))
    rows = []
    for number, (seen, label, probability) in enumerate(zip(looked.faces, labels, probabilities, strict=True)):
        assert math.isfinite(probability)
        place = {"left": seen.box.left, "top": seen.box.top, "width": seen.box.width, "height": seen.box.height}
        note = "; ".join(text for text in (looked.note, seen.note) if text)
        said = {"face": number, "label": label, "probability": probability, **place}
        rows.append({**start, **said, "status": seen.status, "note": note})
    return Judged(looked.item, tuple(rows))
