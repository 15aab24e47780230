"""The faces of a data set, found once before its pictures are used: `faces=` in train, evaluate and export."""

from __future__ import annotations

import hashlib
import logging
import math
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from gender_lightning.data.dataset import keep_batch, start_worker
from gender_lightning.data.rows.skipping import Skipped
from gender_lightning.data.sources.annotations import SPLITS, Index
from gender_lightning.data.sources.images import ImageStore
from gender_lightning.errors import UserError
from gender_lightning.inference.bunches import bunches
from gender_lightning.inference.faces.crops import Choice, Cropper, FaceSearch
from gender_lightning.inference.faces.reduced import AnyPicture, open_reduced, pixels_of
from gender_lightning.machine.hardware import available_cores
from gender_lightning.models.checkpoints.checkpoint import ModelSpec
from gender_lightning.progress import progress_bar

NO_FACE = "no face found"
_CHUNK = 16  # pictures between two reports
log = logging.getLogger(__name__)


@dataclass
class Located:
    """Cuts the largest face out of each picture of a data set, as `predict` would.

    Attributes:
        cropper: Decides which part of a picture is used.
        choices: Decisions made so far, by image; other pictures are searched when they are requested.
    """

    cropper: Cropper
    choices: dict[bytes, Choice] = field(default_factory=dict)

    def __call__(self, picture: NDArray[np.uint8], image_id: bytes) -> NDArray[np.uint8]:
        """The aligned face of a picture, RGB uint8 (H, W, 3), still to be framed; the whole picture if it has none."""
        choice = self.choices.get(image_id)
        if choice is None:
            choice = next(iter(self.cropper.choices(picture)), Choice(None))
        return self.cropper.aligned(picture, choice)

    def fingerprint(self, index: Index) -> bytes:
        """A hash of the eyes' places in these pictures and of their places after alignment, for `data.cache`."""
        found = hashlib.sha256(repr((self.cropper.faces, self.cropper.placement)).encode())
        for image_id in index.image_ids:
            choice = self.choices.get(bytes(image_id))
            place = "looked at later" if choice is None else choice.face and choice.face.eyes
            found.update(f"{place!r};".encode())
        return found.digest()

    def find(self, index: Index, store: ImageStore) -> list[Skipped]:
        """Search every picture once, on all cores. Returns the pictures without a face, in the order of the index.

        Raises:
            UserError: A picture does not decode.
        """
        left_out, counts = [], Counter[str]()
        workers = available_cores() if len(index) > 4 * _CHUNK else 0
        loader = DataLoader(
            _Looking(index, store, self.cropper),
            batch_size=_CHUNK,
            collate_fn=keep_batch,
            num_workers=workers,
            worker_init_fn=start_worker if workers else None,
        )
        with progress_bar("finding faces") as report:
            for found in loader:
                for row, choices in found:
                    if isinstance(choices, UserError):
                        raise choices
                    image_id = bytes(index.image_ids[row])
                    if choices:
                        self.choices[image_id] = choices[0]
                        counts[_kind(choices[0])] += 1
                        counts["several"] += len(choices) > 1
                    else:
                        split = SPLITS[index.partition[row]]
                        left_out.append(Skipped(image_id.decode(errors="replace"), split, NO_FACE))
                report(sum(counts[kind] for kind in ("aligned", "as is")) + len(left_out), len(index))
        _tell(self.cropper.faces, counts, len(left_out))
        return left_out


def finder_of(spec: ModelSpec, search: FaceSearch) -> Located | None:
    """The finder of faces in a data set for a checkpoint; None if its pictures are used as they are."""
    cropper = search.cropper(spec)
    if cropper.remark:
        log.info("%s", cropper.remark)
    return Located(cropper) if cropper.aligns else None


def _kind(choice: Choice) -> str:
    return "as is" if choice.face is None else "aligned"


def _tell(faces: str, counts: Counter[str], left_out: int) -> None:
    if faces == "tight":
        log.info("faces=tight: %s pictures taken for faces that fill them.", f"{counts['aligned']:,}")
        return
    parts = [f"{counts['as is']:,} pictures used as they are, {counts['aligned']:,} faces aligned"]
    if left_out:
        parts.append(f"{left_out:,} pictures without a face left out")
    if counts["several"]:
        parts.append(f"{counts['several']:,} pictures with several faces, of which the largest is used")
    log.info("faces=%s: %s.", faces, "; ".join(parts))


class _Looking(Dataset[list[tuple[int, "list[Choice] | UserError"]]]):
    """The search that the worker processes run: choices, or the error of a picture, by row of the index."""

    def __init__(self, index: Index, store: ImageStore, cropper: Cropper) -> None:
        self.index, self.store, self.cropper = index, store, cropper
        if cropper.detects:
            _ = cropper.detector  # loaded once, before processes are started

    def __len__(self) -> int:
        return len(self.index)

    def __getitems__(self, rows: list[int]) -> list[tuple[int, list[Choice] | UserError]]:
        looked: list[tuple[int, list[Choice] | UserError]] = []
        for bunch in bunches(((row, self._open(row)) for row in rows), _pixels):
            readable = [opened for _, opened in bunch if not isinstance(opened, UserError)]
            choices = iter(self.cropper.choices_of(readable))
            looked += [(row, opened if isinstance(opened, UserError) else next(choices)) for row, opened in bunch]
        return looked

    def _open(self, row: int) -> AnyPicture | UserError:
        image_id = self.index.image_ids[row]
        try:
            data = self.store.read(image_id)
            return open_reduced(data, path=self.store.describe(image_id), reduction=self.cropper.reduction)
        except UserError as error:
            return error


def _pixels(of: tuple[int, AnyPicture | UserError]) -> int:
    _, opened = of
    return 0 if isinstance(opened, UserError) else math.prod(pixels_of(opened).shape[:2])
