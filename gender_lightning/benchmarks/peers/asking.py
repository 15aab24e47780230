"""Pictures to a tool in a process of its own, and its answers back."""

from __future__ import annotations

import csv
import io
import json
import resource
import shlex
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE, Popen
from tempfile import TemporaryFile

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gender_lightning.errors import UserError
from gender_lightning.runs import write_text

Pixels = NDArray[np.uint8]
_LONGEST = 640  # px: a larger picture is shrunk for all tools alike
_BORDER = 0.5  # of the longer side, on each side: detectors look for faces that are small in their picture


@dataclass(frozen=True)
class Asked:
    """What asking a tool took.

    Attributes:
        pictures: Number of pictures.
        answered: Number of those that got an answer.
        seconds: Processor time of the tool, with its start.
    """

    pictures: int
    answered: int
    seconds: float


def ask(command: Sequence[str], pictures: Iterable[tuple[str, Pixels]], output: Path) -> Asked:
    """Ask a tool about each picture and write its answers as a table: image_id, probability (empty: no answer).

    Args:
        command: Starts the tool, which answers a line for each line, see `runners/frames.js`.
        pictures: Names and pictures, RGB uint8 (H, W, 3).
        output: The table, written when all are answered.

    Raises:
        UserError: The tool ended before, or said something else.
    """
    before = _seconds_of_children()
    with TemporaryFile() as told, Popen(command, stdin=PIPE, stdout=PIPE, stderr=told) as process:
        rows = list(_answers(process, pictures))
        process.wait()
        told.seek(0)
        last = told.read().decode(errors="replace").strip().splitlines()[-1:]
    if process.returncode or not rows or rows[-1][1] is None:
        why = f": {last[0]}" if last else ""
        raise UserError(
            f"{output.stem} ended after {max(0, len(rows) - 1):,} pictures{why}.", f"Try {shlex.join(command)}"
        )
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows([("image_id", "probability"), *rows])
    write_text(output, table.getvalue())
    return Asked(len(rows), sum(bool(said) for _, said in rows), _seconds_of_children() - before)


def _answers(process: Popen[bytes], pictures: Iterable[tuple[str, Pixels]]) -> Iterator[tuple[str, str | None]]:
    """The answer to each picture; None, and then no more, where the tool has ended."""
    assert process.stdin is not None and process.stdout is not None
    for name, picture in pictures:
        shown = views(picture)
        header = json.dumps({"pictures": [one.shape[:2] for one in shown]})
        try:
            process.stdin.write(header.encode() + b"\n" + b"".join(one.tobytes() for one in shown))
            process.stdin.flush()
        except BrokenPipeError:
            yield name, None
            return
        said = process.stdout.readline().decode()
        yield name, said.strip() if said.endswith("\n") else None
        if not said.endswith("\n"):
            return
    with suppress(BrokenPipeError):
        process.stdin.close()


def views(picture: Pixels) -> list[Pixels]:
    """A picture, at most 640 px long, as it is and with a grey border of half its longer side."""
    height, width = picture.shape[:2]
    longest = max(height, width)
    if longest > _LONGEST:
        size = (max(1, width * _LONGEST // longest), max(1, height * _LONGEST // longest))
        picture = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))
    margin = round(_BORDER * max(picture.shape[:2]))
    framed = np.pad(picture, ((margin, margin), (margin, margin), (0, 0)), constant_values=128)
    return [np.ascontiguousarray(picture), framed]


def _seconds_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
