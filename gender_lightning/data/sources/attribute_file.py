"""`data.attributes`: further attributes of the images, from a CSV file of the user."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gender_lightning.config.data import LABEL
from gender_lightning.data.sources.annotations import RESERVED, Index
from gender_lightning.errors import UserError

_VALUES = {"1": True, "0": False, "-1": False, "true": True, "false": False, "yes": True, "no": False}
_LONGEST_NAME = 100
_MOST_COLUMNS = 500
_FIELD = "data.attributes"


def with_attributes(index: Index, path: Path) -> Index:
    """Add the columns of a CSV file to the attributes of an index.

    The first line names the columns: `image_id`, then the attributes. Every other line has the id of an image (the
    file name in CelebA, the path below `data.root` in a folder) and 1 or 0 (also -1, true, false, yes or no) for each
    attribute. Rows of images that the index does not have are ignored.

    Args:
        index: The rows that need attributes.
        path: The CSV file, UTF-8.

    Raises:
        UserError: The file is missing or malformed, lacks an image of the index, or has a column that the data have.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            names = _header(path, next(reader, []), index)
            values = _align(index, path, names, _rows(path, reader, len(names)))
    except OSError as error:
        raise UserError(
            f"{path} cannot be read: {error.strerror or error}.", "Set data.attributes to a CSV file.", field=_FIELD
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text.", "Save it as UTF-8.", field=_FIELD) from error
    except csv.Error as error:
        raise UserError(f"{path} is not a CSV file ({error}).", "Save it again as CSV.", field=_FIELD) from error
    return replace(
        index,
        attributes=np.concatenate([index.attributes, values], axis=1),
        attribute_names=(*index.attribute_names, *names),
    )


def _header(path: Path, cells: list[str], index: Index) -> tuple[str, ...]:
    first, *names = [cell.strip() for cell in cells] or [""]
    if first != "image_id" or not names:
        raise UserError(
            f"{path}, line 1 is not image_id and the names of attributes, separated by commas.",
            "Write, for example, image_id,glasses.",
            field=_FIELD,
        )
    for name in names:
        problem = None
        if not name or not name.isprintable() or len(name) > _LONGEST_NAME or len(names) > _MOST_COLUMNS:
            problem = "a column has no usable name"
        elif name in RESERVED or name == LABEL:
            problem = f"the column {name} cannot be an attribute, since tables of predictions have a column {name}"
            problem = "the column Male is the label itself" if name == LABEL else problem
        elif names.count(name) > 1:
            problem = f"there are two columns {name}"
        elif name in index.attribute_names:
            problem = f"the data have an attribute {name} already"
        if problem is not None:
            raise UserError(f"{path}, line 1: {problem}.", "Rename it, or leave it out.", field=_FIELD)
    return tuple(names)


def _rows(path: Path, reader: Iterator[list[str]], columns: int) -> Iterator[tuple[str, list[bool]]]:
    for number, cells in enumerate(reader, start=2):
        if not cells:
            continue
        if len(cells) != columns + 1:
            raise UserError(
                f"{path}, line {number} has {len(cells) - 1} values instead of {columns}.",
                "Correct the line.",
                field=_FIELD,
            )
        values = [_VALUES.get(cell.strip().lower()) for cell in cells[1:]]
        if None in values:
            wrong = cells[1 + values.index(None)][:40]
            raise UserError(
                f"{path}, line {number}: {wrong!r} is neither 1 nor 0.",
                "Give an attribute with more than two values one column for each value.",
                field=_FIELD,
            )
        yield cells[0].strip(), [value is True for value in values]


def _align(
    index: Index, path: Path, names: tuple[str, ...], rows: Iterator[tuple[str, list[bool]]]
) -> NDArray[np.bool_]:
    """Values (N, A) in the order of the index."""
    place = {image_id: row for row, image_id in enumerate(index.image_ids.tolist())}
    values = np.zeros((len(index), len(names)), dtype=np.bool_)
    found = np.zeros(len(index), dtype=np.bool_)
    for image_id, cells in rows:
        row = place.get(image_id.encode())
        if row is None:
            continue
        if found[row]:
            raise UserError(f"{path}: {image_id} is listed twice.", "Remove one of its lines.", field=_FIELD)
        values[row], found[row] = cells, True
    if not found.all():
        missing = int((~found).sum())
        first = index.image_ids[np.flatnonzero(~found)[0]].decode(errors="replace")
        raise UserError(
            f"{path} has no line for {missing:,} of {len(index):,} images ({first}, for one).",
            "Add the lines; an image_id is the path of the file below the folder of the pictures.",
            field=_FIELD,
        )
    return values
