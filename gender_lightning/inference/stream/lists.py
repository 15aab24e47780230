"""Lists of pictures: one name per line, or a column of a CSV file as spreadsheets write it."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path

from gender_lightning.csv_text import refuse_doubled
from gender_lightning.data.decoding import PICTURES
from gender_lightning.errors import UserError
from gender_lightning.inference.stream.video import VIDEOS

COLUMN_NAMES = ("image", "path", "file", "filename", "file_name", "image_id", "image_path")
_DELIMITERS = ",;\t"
_LOOKED_AT = 20  # rows in which names of files are looked for


def read_list(path: str) -> Iterator[str]:
    """The files named in a list, one per line; relative names start at the list's own folder.

    In a CSV or TSV file, separated by commas, semicolons or tabs, the names are in the column image, path, file,
    filename or image_id, or else in the first column that holds file names. The encoding is UTF-8, or UTF-16 with a
    byte order mark.

    Raises:
        UserError: The list cannot be read, or none of its columns holds file names.
    """
    folder, suffix = os.path.dirname(path), Path(path).suffix.lower()
    try:
        with open(path, encoding=_encoding(path), errors="surrogateescape", newline="") as file:
            if suffix in (".csv", ".tsv"):
                yield from _tabulated(file, folder, path)
            else:
                yield from listed(file, folder)
    except (OSError, csv.Error, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(
            f"The list {path} cannot be read: {reason}.", "Correct the file, or give the folder of the pictures."
        ) from error


def listed(lines: Iterable[str], folder: str) -> Iterator[str]:
    """The file of each line that is not empty."""
    for line in lines:
        if name := line.strip("\r\n").strip():
            yield os.path.join(folder, name)


def _encoding(path: str) -> str:
    with open(path, "rb") as file:
        mark = file.read(2)
    return "utf-16" if mark in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"


def _tabulated(lines: Iterable[str], folder: str, path: str) -> Iterator[str]:
    rest = iter(lines)
    first = next(rest, "")
    delimiter = max(_DELIMITERS, key=first.count)  # the comma where there is none
    rows = csv.reader(chain([first], rest), delimiter=delimiter)
    header = next(rows, [])
    some = list(islice(rows, _LOOKED_AT))
    column = _column(header, some, folder, path)
    if column is None:
        raise UserError(
            f"The list {path} has the columns {', '.join(header)[:200]}, none of which holds names of pictures.",
            f"Name the column with the pictures {COLUMN_NAMES[0]}.",
        )
    if _is_file(header, column, folder):  # there is no header
        some = [header, *some]
    for row in chain(some, rows):
        if len(row) > column and row[column].strip():
            yield os.path.join(folder, row[column].strip())


def _column(header: list[str], rows: list[list[str]], folder: str, path: str) -> int | None:
    names = [cell.strip().lower() for cell in header]
    known = next((names.index(name) for name in COLUMN_NAMES if name in names), None)
    if known is not None:
        refuse_doubled(Path(path), names, names[known : known + 1])
    if known is not None or not header:
        return known or 0
    found = (place for place in range(len(header)) if any(_is_file(row, place, folder) for row in [header, *rows]))
    return next(found, None)


def _is_file(row: list[str], column: int, folder: str) -> bool:
    """Whether a cell has the extension of a picture or a video, or names a file that exists."""
    text = row[column].strip() if len(row) > column else ""
    return Path(text).suffix.lower() in PICTURES | VIDEOS or (
        bool(text) and "\0" not in text and os.path.isfile(os.path.join(folder, text))
    )
