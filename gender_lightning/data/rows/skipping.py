"""`data.on_error=skip`: images that do not decode are found before the run starts, left out, and listed once."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gender_lightning.csv_text import cell, text_of
from gender_lightning.data.inspection import verify
from gender_lightning.data.sources.annotations import SPLITS, Index
from gender_lightning.data.sources.images import ImageStore
from gender_lightning.errors import UserError
from gender_lightning.machine.hardware import available_cores
from gender_lightning.progress import progress_bar
from gender_lightning.runs import write_text

log = logging.getLogger(__name__)
SKIPPED = "skipped.csv"
MOST = 0.01  # fraction of a training's images: more is not an accident
COLUMNS = ("image_id", "split", "reason")


@dataclass(frozen=True)
class Skipped:
    """An image that is left out, its split, and the reason."""

    image_id: str
    split: str
    reason: str


def find_unreadable(index: Index, store: ImageStore) -> list[Skipped]:
    """Decode every image once, on all cores; returns those that do not decode, in the order of the index."""
    with progress_bar("Decoding") as report:
        found = verify(index, store, workers=available_cores(), progress=report)
    skipped = [
        Skipped(image.image_id.decode(errors="replace"), SPLITS[index.partition[image.row]], image.reason)
        for image in found
    ]
    if skipped:
        log.warning(
            "%s of %s images do not decode and are left out (%s): %s",
            f"{len(skipped):,}",
            f"{len(index):,}",
            SKIPPED,
            ", ".join(f"{split} {n}" for split in SPLITS if (n := sum(image.split == split for image in skipped))),
        )
    return skipped


def refuse_many(skipped: Sequence[Skipped], images: int) -> None:
    """Refuse to train if more than `MOST` of the images do not decode.

    Raises:
        UserError: Too many do not decode; the message names the first.
    """
    if len(skipped) > MOST * images:
        raise UserError(
            f"{len(skipped):,} of {images:,} images do not decode, more than the {MOST:.0%} that "
            f"data.on_error=skip leaves out.",
            f"The first: {skipped[0].reason}",
            field="data.on_error",
        )


def without(index: Index, skipped: Sequence[Skipped]) -> Index:
    """The index without these images.

    Raises:
        UserError: Nothing is left.
    """
    if not skipped:
        return index
    left = np.flatnonzero(~np.isin(index.image_ids, np.array([image.image_id.encode() for image in skipped])))
    if not len(left):
        raise UserError(f"None of the {len(index):,} images is left.", f"The first: {skipped[0].reason}")
    return index.select(left)


def write_skipped(path: Path, skipped: Sequence[Skipped]) -> None:
    """Write the list, each image once; whole or not at all."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)  # reasons have line ends
    writer.writerow(COLUMNS)
    writer.writerows([cell(image.image_id), image.split, cell(image.reason)] for image in skipped)
    write_text(path, text.getvalue())


def read_skipped(path: Path) -> list[Skipped]:
    """The list that `write_skipped` wrote; empty where there is none.

    Raises:
        UserError: The list is damaged.
    """
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
        if not rows or rows[0] != list(COLUMNS):
            raise ValueError("it has other columns")
        return [Skipped(text_of(image_id), split, text_of(reason)) for image_id, split, reason in rows[1:]]
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{path} is damaged ({error}).", "Restore it, or start a new run.") from None
