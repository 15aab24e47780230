"""`data.exclude` and `data.corrections`: what people have found out about a data set, used in training.

Only train and valid change. The test split stays as it was published, whatever a file says: a figure on it must mean
the same for everybody. `evaluate` shows the figure without the labels that are known to be wrong beside it.
"""

from __future__ import annotations

import csv
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gender_lightning.csv_text import refuse_doubled, text_of
from gender_lightning.data.sources.annotations import CLASS_NAMES, SPLITS, Index
from gender_lightning.errors import UserError
from gender_lightning.runs import is_first_process

log = logging.getLogger(__name__)

RIGHT, WRONG, UNSURE = VERDICTS = ("right", "wrong", "cannot tell")
ID_COLUMNS = ("image_id", "id")
TEST = SPLITS.index("test")
_MOST_BYTES = 1 << 28


@dataclass(frozen=True)
class Correction:
    """A person's verdict on a label.

    Attributes:
        verdict: One of `VERDICTS`.
        label: The label that was shown, 0 or 1; None where the file does not say.
    """

    verdict: str
    label: int | None = None


def corrected(index: Index, file: str) -> Index:
    """Reverse the labels of train and valid that a person has called wrong, and log how many.

    Args:
        index: The rows.
        file: Corrections, for `read_corrections`.

    Raises:
        UserError: The file is missing or malformed.
    """
    wrong = called_wrong(index.image_ids, index.labels, read_corrections(Path(os.path.expanduser(file))))
    changed = wrong & (index.partition != TEST)
    of_test = int(wrong.sum() - changed.sum())
    more = f"; {of_test:,} of test are called wrong too and stay as they are" if of_test else ""
    _tell("data.corrections: %s reversed%s.", _counted(index, changed, "label"), more)
    return replace(index, labels=np.where(changed, 1 - index.labels, index.labels).astype(np.int8))


def without_listed(index: Index, file: str, known: NDArray[np.bytes_]) -> Index:
    """Leave out rows of train and valid that a file lists, and log how many.

    Args:
        index: The rows.
        file: Ids, for `read_excluded`.
        known: The ids of all rows of the data, of which `data.limit` and its like may have left out some already.

    Raises:
        UserError: The file is missing or malformed.
    """
    excluded = read_excluded(Path(os.path.expanduser(file)))
    # an empty list has no dtype of its own
    ids = np.array(sorted(excluded), dtype=np.bytes_ if excluded else "S1")
    listed = np.isin(index.image_ids, ids)
    in_data = int(np.isin(ids, known).sum())
    left_out = listed & (index.partition != TEST)
    notes = []
    if of_test := int(listed.sum() - left_out.sum()):
        notes.append(f"{of_test:,} of test are listed too and stay")
    if before := in_data - int(listed.sum()):
        notes.append(f"{before:,} of the listed were left out before, by another field of data")
    if unknown := len(excluded) - in_data:
        notes.append(f"{unknown:,} of the listed are not in these data")
    more = "".join(f"; {note}" for note in notes)
    _tell("data.exclude: %s left out%s.", _counted(index, left_out, "image"), more)
    return index.select(np.flatnonzero(~left_out))


def read_excluded(path: Path) -> set[bytes]:
    """Read the ids to leave out: a CSV with a column `image_id` or `id`, or a text with an id per line.

    Of a file with a column `verdict`, as `data review` writes it, only images that a person has called wrong or could
    not judge are taken.

    Raises:
        UserError: The file is missing, not text, or has neither column.
    """
    if path.suffix.lower() != ".csv":
        return {line.strip().encode() for line in _lines(path, "data.exclude") if line.strip()}
    rows = _rows(path, "data.exclude")
    return {image_id.encode() for image_id, row in rows if row.get("verdict", WRONG) != RIGHT}


def read_corrections(path: Path) -> dict[bytes, Correction]:
    """Read the verdicts of `data review`; of several on one image the last counts.

    Raises:
        UserError: The file is missing or malformed; the message names the line.
    """
    found = {}
    for number, (image_id, row) in enumerate(_rows(path, "data.corrections"), start=2):
        verdict, label = row.get("verdict"), row.get("label") or None
        if verdict not in VERDICTS or label not in (None, *CLASS_NAMES):
            raise UserError(
                f"{path}, row {number}: a verdict is one of {', '.join(VERDICTS)}, and a label "
                f"{' or '.join(CLASS_NAMES)}.",
                "Give the corrections.csv that `gender-lightning data review` writes.",
                field="data.corrections",
            )
        found[image_id.encode()] = Correction(verdict, None if label is None else CLASS_NAMES.index(label))
    return found


def called_wrong(
    ids: NDArray[np.bytes_], labels: NDArray[np.int8], corrections: Mapping[bytes, Correction]
) -> NDArray[np.bool_]:
    """Shape (N,): whether a person has called this very label wrong; a label that has changed since counts no more."""
    verdicts = (corrections.get(image_id) for image_id in ids.tolist())
    pairs = zip(verdicts, labels.tolist(), strict=True)
    wrong = (one is not None and one.verdict == WRONG and one.label in (None, label) for one, label in pairs)
    return np.fromiter(wrong, dtype=np.bool_, count=len(ids))


def _tell(message: str, *values: str) -> None:
    if is_first_process():
        log.warning(message, *values)


def _counted(index: Index, rows: NDArray[np.bool_], what: str) -> str:
    """`12 images (train 10, valid 2)`."""
    total = int(rows.sum())
    parts = [f"{split} {n:,}" for split in SPLITS[:TEST] if (n := int(rows[index.split(split)].sum()))]
    return f"{total:,} {what}{'' if total == 1 else 's'}" + (f" ({', '.join(parts)})" if parts else "")


def _rows(path: Path, field: str) -> Iterator[tuple[str, dict[str, str]]]:
    """(id, all columns) of each row."""
    reader = csv.DictReader(_lines(path, field))
    try:
        column = next((name for name in ID_COLUMNS if name in (reader.fieldnames or ())), None)
        if column is None:
            raise UserError(
                f"{path} has no column image_id.", "Name the column of the images so, in the first line.", field=field
            )
        refuse_doubled(path, list(reader.fieldnames or ()), (column, "verdict", "label"), field)
        for row in reader:
            yield text_of(row[column] or ""), row
    except csv.Error as error:
        raise UserError(f"{path} is no CSV file ({error}).", "Save it as comma-separated text.", field=field) from None


def _lines(path: Path, field: str) -> list[str]:
    try:
        if not path.is_file():
            raise OSError(None, "there is no such file")
        if path.stat().st_size > _MOST_BYTES:
            raise OSError(None, f"it has more than {_MOST_BYTES:,} bytes")
        return path.read_text(encoding="utf-8-sig").splitlines(keepends=True)
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text.", "Save it as UTF-8.", field=field) from None
    except OSError as error:
        raise UserError(
            f"{path} cannot be read: {error.strerror or error}.",
            f"Name another file, or leave it out: {field}=null.",
            field=field,
        ) from None
