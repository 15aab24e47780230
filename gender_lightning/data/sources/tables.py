"""Read CelebA's tables (a name, then small whole numbers) without a Python object per cell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gender_lightning.errors import UserError

CHUNK_BYTES = 1 << 20  # text read at a time: bounds the memory, whatever the size of the file
MAX_DIGITS = 9
LONGEST_LINE = 1 << 20  # bytes
LONGEST_NAME = 255  # bytes, the limit of file systems; one longer name would widen the column of all names
REMEDY = "Download the file again, or correct the line."
BOM = b"\xef\xbb\xbf"
# Space, tab, both line endings, comma and quote separate the columns of the .txt and of the .csv form alike.
SEPARATOR = np.zeros(256, dtype=np.bool_)
SEPARATOR[list(b' \t\r\n,"')] = True


@dataclass(frozen=True)
class LabelTable:
    """The rows of a label file.

    Attributes:
        path: The file, for messages.
        columns: Names of the value columns; empty when the file has no header.
        names: Shape (N,), dtype ``S``: the first column.
        values: Shape (N, C), whole numbers of the dtype asked for.
        first_line: Line number (from 1) of row 0.
    """

    path: Path
    columns: tuple[str, ...]
    names: NDArray[np.bytes_]
    values: NDArray[np.integer]
    first_line: int


def read_table(
    path: Path, *, dtype: type[np.integer], width: int | None = None, required: str | None = None
) -> LabelTable:
    """Read a table of CelebA, in the official (.txt) or in Kaggle's form (.csv).

    An optional first line with the number of rows and an optional header are recognised by their content.

    Args:
        path: The file; LF or CRLF, columns separated by blanks or commas.
        dtype: Dtype of the values.
        width: Number of value columns when the file has no header.
        required: A column that the header must have.

    Raises:
        UserError: The file is missing, empty or not UTF-8 text, its header has a name twice, a row is too short or
            too long, a value is not a whole number or does not fit the dtype, or a name leads out of its folder;
            the message names the file and the line.
    """
    try:
        header, columns, skip = _read_header(path, header_expected=width is None)
        if required is not None and required not in columns:
            raise UserError(
                f"{path}, line {max(skip, 1)}: column {required} is missing.",
                f"Put CelebA's own {path.stem} there (`gender-lightning data prepare` says from where).",
            )
        _check_columns(path, columns, max(skip, 1))
        width = len(columns) if header else width
        names, values = [], []
        line = skip + 1
        for chunk in _chunks(path, skip):
            _check_text(chunk, path, line)
            chunk_names, chunk_values = _parse(chunk, path, line, width, dtype)
            line += chunk.count(b"\n")
            if not len(chunk_names):
                continue
            names.append(chunk_names)
            values.append(chunk_values)
            width = chunk_values.shape[1]
    except OSError as error:
        raise UserError(
            f"{path} cannot be read: {error.strerror or error}.", "Check data.root.", field="data.root"
        ) from error
    if not names:
        raise UserError(f"{path} has no rows.", "Download it again.")
    return LabelTable(path, columns, np.concatenate(names), np.concatenate(values), skip + 1)


def _read_header(path: Path, *, header_expected: bool) -> tuple[bool, tuple[str, ...], int]:
    """(has a header, its value columns, lines before the first row)."""
    skip = 0
    with path.open("rb") as file:
        line = file.readline(LONGEST_LINE).removeprefix(BOM)
        if len(line.split()) == 1 and line.strip().isdigit():  # the number of rows
            skip, line = 1, file.readline(LONGEST_LINE)
    _check_text(line, path, skip + 1)
    text = line.decode("utf-8", errors="replace").replace('"', " ")
    words = [word.strip() for word in text.split(",")] if "," in text else text.split()
    if words and words[0].lower() in ("image_id", "image", "filename", "file_name"):  # Kaggle's form
        return True, tuple(words[1:]), skip + 1
    # The official attribute and landmark files name the values only, after a line with the number of rows.
    if (header_expected or skip) and any(word and _is_name(word) for word in words[1:]):
        return True, tuple(words), skip + 1
    return False, (), skip


def _check_text(text: bytes, path: Path, line: int) -> None:
    """Refuse anything but UTF-8 text: names in another encoding would not match those of the files."""
    remedy = "Save it as UTF-8 text, or download it again."
    if b"\0" in text:
        line += text[: text.index(b"\0")].count(b"\n")
        raise UserError(f"{path}, line {line}: a zero byte, which text does not have (UTF-16?).", remedy)
    try:
        text.decode()
    except UnicodeDecodeError as error:
        line += text[: error.start].count(b"\n")
        raise UserError(f"{path}, line {line}: the byte {text[error.start]:#x} is not UTF-8.", remedy) from None


def _check_columns(path: Path, columns: tuple[str, ...], line: int) -> None:
    double = next((name for name in columns if columns.count(name) > 1), None)
    if double is not None:
        raise UserError(f"{path}, line {line}: column {double!r} occurs twice.", "Remove one of them.")


def _is_name(word: str) -> bool:
    return not word.lstrip("+-").isdigit()


def _chunks(path: Path, skip: int) -> Iterator[bytes]:
    """Pieces of the file of about ``CHUNK_BYTES`` that end with a line, without the first ``skip`` lines."""
    with path.open("rb") as file:
        for _ in range(skip):
            file.readline(LONGEST_LINE)
        while piece := file.read(CHUNK_BYTES):
            piece += file.readline(LONGEST_LINE)
            if file.tell() <= CHUNK_BYTES + LONGEST_LINE:
                piece = piece.removeprefix(BOM)
            if not piece.endswith(b"\n") and file.peek(1):
                raise UserError(f"{path}: a line of more than {LONGEST_LINE:,} bytes.", REMEDY)
            if piece.strip():
                yield piece if piece.endswith(b"\n") else piece + b"\n"


def _parse(
    chunk: bytes, path: Path, line: int, width: int | None, dtype: type[np.integer]
) -> tuple[NDArray[np.bytes_], NDArray[np.integer]]:
    """Names (n,) and values (n, width) of the lines in ``chunk``, whose first is number ``line``."""
    text = np.frombuffer(chunk, dtype=np.uint8)
    inside = ~SEPARATOR[text]  # ends with False: the chunk ends with a line feed
    edges = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    if inside[0]:
        edges = np.concatenate([np.zeros(1, dtype=edges.dtype), edges])
    starts, ends = edges[0::2], edges[1::2]
    line_ends = np.flatnonzero(text == ord("\n"))
    per_line = np.diff(np.searchsorted(starts, line_ends), prepend=0)
    filled = np.flatnonzero(per_line)  # blank lines, as at the end of a file, do not count
    lines, counts = line + filled, per_line[filled]
    if not len(filled):
        return np.empty(0, dtype="S1"), np.empty((0, 0), dtype=dtype)
    expected = int(counts[0]) if width is None else width + 1
    wrong = np.flatnonzero(counts != expected)
    if len(wrong):
        at = wrong[0]
        raise UserError(f"{path}, line {lines[at]}: {counts[at] - 1} values where {expected - 1} are expected.", REMEDY)
    starts, lengths = starts.reshape(-1, expected), (ends - starts).reshape(-1, expected)
    _check_lengths(lengths[:, 0], path, lines)
    names = _gather_names(text, starts[:, 0], lengths[:, 0])
    if b".." in chunk or b"/" in chunk or b"\\" in chunk:
        _check_inside(names, path, lines)
    values, bad = _gather_numbers(text, starts[:, 1:], lengths[:, 1:], dtype)
    if bad is not None:
        row, column = bad
        begin = starts[row, column + 1]
        word = chunk[begin : begin + lengths[row, column + 1]].decode("utf-8", errors="replace")
        raise UserError(
            f"{path}, line {lines[row]}: {word!r} (value {column + 1} of "
            f"{names[row].decode(errors='replace')}) is not a whole number in range.",
            REMEDY,
        )
    return names, values


def _check_lengths(lengths: NDArray[np.intp], path: Path, lines: NDArray[np.intp]) -> None:
    long = np.flatnonzero(lengths > LONGEST_NAME)
    if len(long):
        raise UserError(
            f"{path}, line {lines[long[0]]}: a name of {lengths[long[0]]:,} bytes, and files have {LONGEST_NAME} at "
            "most.",
            REMEDY,
        )


def _check_inside(names: NDArray[np.bytes_], path: Path, lines: NDArray[np.intp]) -> None:
    """Refuse a name that leads out of the folder of the pictures."""
    for name, line in zip(names.tolist(), lines, strict=True):
        parts = name.replace(b"\\", b"/").split(b"/")
        if b".." in parts or not parts[0] or parts[0].endswith(b":"):
            raise UserError(
                f"{path}, line {line}: {name.decode(errors='replace')} is not a name below the folder of the pictures.",
                REMEDY,
            )


def _gather_names(text: NDArray[np.uint8], starts: NDArray[np.intp], lengths: NDArray[np.intp]) -> NDArray[np.bytes_]:
    longest = int(lengths.max())
    offsets = np.arange(longest)
    letters = text[np.minimum(starts[:, None] + offsets, len(text) - 1)]
    letters[offsets >= lengths[:, None]] = 0
    return np.ascontiguousarray(letters).view(f"S{longest}")[:, 0]


def _gather_numbers(
    text: NDArray[np.uint8], starts: NDArray[np.intp], lengths: NDArray[np.intp], dtype: type[np.integer]
) -> tuple[NDArray[np.integer], tuple[int, int] | None]:
    """The values, and (row, column) of the first cell that is not a whole number of the dtype."""
    sign = text[starts]
    negative = sign == ord("-")
    first = (negative | (sign == ord("+"))).astype(np.intp)
    digits = lengths - first
    wrong = (digits < 1) | (digits > MAX_DIGITS)
    total = np.zeros(starts.shape, dtype=np.int32)
    for place in range(min(int(digits.max()), MAX_DIGITS)):
        here = digits > place
        digit = text[np.minimum(starts + first + place, len(text) - 1)] - np.uint8(ord("0"))  # wraps above 9
        wrong |= here & (digit > 9)
        total = np.where(here, total * 10 + digit, total)
    np.negative(total, out=total, where=negative)
    limits = np.iinfo(dtype)
    wrong |= (total < limits.min) | (total > limits.max)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        return total, (int(row), int(column))
    return total.astype(dtype), None
