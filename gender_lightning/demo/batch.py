"""Prediction for many pictures: one row per face, and one for everything that is not counted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from gender_lightning.demo.looking import MOST_FACES, look_at
from gender_lightning.errors import UserError
from gender_lightning.inference.predictor import Predictor

UNREADABLE, NO_FACE, OUT_OF_TIME, SMALLER = "unreadable", "no face", "left out", "smaller faces"
_REASONS = {
    UNREADABLE: "unreadable",
    NO_FACE: "without a face",
    OUT_OF_TIME: "left out because {note}",
    SMALLER: f"beyond the {MOST_FACES} largest of a picture",
}
_NAMED = 3  # files named in a summary, per kind


class Row(NamedTuple):
    """A face, or something that is not counted.

    Attributes:
        file: File name without folders.
        label: The label of a face, or why nothing is counted: ``unreadable``, ``no face``, ``left out`` or
            ``smaller faces``.
        probability: Probability of male; None for rows that are not counted.
        note: Remarks for the reader.
        faces: Number of faces that a row of ``smaller faces`` stands for.
        picture: Number of the file, from 1, since several may have the same name.
    """

    file: str
    label: str
    probability: float | None
    note: str
    faces: int = 0
    picture: int = 0


def look_at_many(
    paths: Sequence[str], predictor: Predictor, max_seconds: float, advance: Callable[[int], object] = lambda number: 0
) -> list[Row]:
    """Predict pictures until the time is up.

    Args:
        paths: Picture files.
        predictor: The predictor to use.
        max_seconds: Time in seconds after which no further picture is started.
        advance: Called with the number of each picture, from 1, before it is processed.
    """
    rows: list[Row] = []
    until = time.monotonic() + max_seconds
    for number, path in enumerate(paths, 1):
        advance(number)
        if time.monotonic() < until:
            rows += _rows(path, number, predictor)
        else:
            note = f"the {max_seconds:g} seconds of a batch were over"
            rows.append(Row(Path(path).name, OUT_OF_TIME, None, note, picture=number))
    return rows


def _rows(path: str, number: int, predictor: Predictor) -> Iterator[Row]:
    name = Path(path).name
    try:
        seen = look_at(path, predictor, heat=False)
    except (UserError, MemoryError) as error:
        yield Row(name, UNREADABLE, None, problem_of(error), picture=number)
        return
    if not seen.looks:
        yield Row(name, NO_FACE, None, "; ".join(seen.notes), picture=number)
    for look in seen.looks:
        note = "; ".join(text for text in (*seen.notes, look.prediction.note) if text)
        yield Row(name, look.prediction.label, look.prediction.probability, note, picture=number)
    if seen.left_out:
        note = f"{seen.left_out} beyond the {MOST_FACES} largest are not counted"
        yield Row(name, SMALLER, None, note, seen.left_out, number)


def problem_of(error: UserError | MemoryError) -> str:
    """What is wrong with a picture; the remedy of an error is meant for files of a data set."""
    return error.problem if isinstance(error, UserError) else "The picture needs more memory than there is."


def counted(rows: Sequence[Row]) -> str:
    """State in a sentence how many faces in how many pictures are counted."""
    faces = [row for row in rows if row.probability is not None]
    pictures, of_all = len({row.picture for row in faces}), len({row.picture for row in rows})
    return f"Counted: {_number(len(faces), 'face')} in {pictures} of {_number(of_all, 'picture')}."


def not_counted(rows: Sequence[Row]) -> list[str]:
    """List what is not counted and why, one phrase with the first file names per reason; empty if all are counted."""
    phrases = []
    for kind, what in _REASONS.items():
        of_kind = [row for row in rows if row.probability is None and row.label == kind]
        if of_kind:
            names = ", ".join(row.file for row in of_kind[:_NAMED])
            more = f" and {len(of_kind) - _NAMED} more" if len(of_kind) > _NAMED else ""
            faces = sum(row.faces for row in of_kind)
            count = _number(faces, "face") if faces else _number(len(of_kind), "picture")
            phrases.append(f"{count} {what.format(note=of_kind[0].note)} ({names}{more})")
    return phrases


def _number(count: int, word: str) -> str:
    return f"1 {word}" if count == 1 else f"{count} {word}s"
