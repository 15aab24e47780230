"""CelebA's label files as an index: one row per image, numpy columns, cached. No picture is touched."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gender_lightning.config.data import LABEL
from gender_lightning.data.sources import index_cache
from gender_lightning.data.sources.tables import REMEDY, LabelTable, read_table
from gender_lightning.errors import UserError

log = logging.getLogger(__name__)

SPLITS = ("train", "valid", "test")
CLASS_NAMES = ("female", "male")
ATTRIBUTES, PARTITION = "list_attr_celeba", "list_eval_partition"
IDENTITIES, LANDMARKS = "identity_CelebA", "list_landmarks_align_celeba"
# The columns of a predictions table that describe the image itself: no attribute may have one of these names.
RESERVED = ("image_id", "split", "label", "logit", "probability", "identity")
# Everything in one folder, the folders of CelebA's drive (Anno, Eval, Img), or torchvision's layout (celeba).
SUBFOLDERS = ("", "Anno", "Eval", "celeba")


@dataclass(frozen=True)
class Index:
    """One row per image.

    Attributes:
        image_ids: Shape (N,), dtype ``S``: CelebA's file name, or the path below the root (UTF-8).
        labels: Shape (N,), int8: 1 male, 0 female (CelebA's perceived gender).
        partition: Shape (N,), int8: 0 train, 1 valid, 2 test.
        attributes: Shape (N, A), bool: CelebA's other attributes; A may be 0.
        attribute_names: A names; ``Male`` is not among them.
        identities: Shape (N,), int32, or None where there is no identity file.
        landmarks: Shape (N, 10), int16, pixels x, y of left eye, right eye, nose, left and right
            corner of the mouth; or None where there is no such file.
    """

    image_ids: NDArray[np.bytes_]
    labels: NDArray[np.int8]
    partition: NDArray[np.int8]
    attributes: NDArray[np.bool_]
    attribute_names: tuple[str, ...]
    identities: NDArray[np.int32] | None = None
    landmarks: NDArray[np.int16] | None = None

    def __len__(self) -> int:
        return len(self.image_ids)

    def select(self, rows: NDArray[np.intp]) -> Index:
        """The index of these rows, in this order."""
        return replace(
            self,
            image_ids=self.image_ids[rows],
            labels=self.labels[rows],
            partition=self.partition[rows],
            attributes=self.attributes[rows],
            identities=None if self.identities is None else self.identities[rows],
            landmarks=None if self.landmarks is None else self.landmarks[rows],
        )

    def split(self, name: str) -> NDArray[np.intp]:
        """Rows of a split (``train``, ``valid`` or ``test``), ascending."""
        assert name in SPLITS, name
        return np.flatnonzero(self.partition == SPLITS.index(name))


def find_table(root: Path, stem: str) -> Path | None:
    """The label file of this name (.txt before .csv) under a CelebA root, or None."""
    for folder in SUBFOLDERS:
        for suffix in (".txt", ".csv"):
            if (path := root / folder / f"{stem}{suffix}").is_file():
                return path
    return None


def read_celeba(root: Path, *, cache_dir: Path | None = None) -> Index:
    """Read CelebA's label files: official (.txt) or Kaggle's (.csv), LF or CRLF, -1/1 or 0/1.

    The attribute and the partition file are required; identities and landmarks are used where they are present. The
    result is cached; the files are read again as soon as the size or modification time of one of them differs.

    Args:
        root: Folder with the files.
        cache_dir: Folder of the cache; by default ``gender_lightning`` in ``$XDG_CACHE_HOME`` or ``~/.cache``.

    Raises:
        UserError: A file is missing or malformed; the message names the file, and the line where there is one.
    """
    sources = _sources(root)
    cached = index_cache.load(sources, cache_dir)
    if cached is not None and _is_index(cached):
        return Index(**cached)
    index = _read(sources)
    index_cache.save(sources, cache_dir, vars(index))
    return index


def _is_index(columns: dict[str, Any]) -> bool:
    """Whether a cache file holds an index: it is in the user's own folder, but anybody may have written it."""
    n = len(columns.get("image_ids", ()))
    names = columns.get("attribute_names", ())
    wanted: dict[str, tuple[str, tuple[int, ...]]] = {
        "image_ids": ("S", (n,)), "labels": ("int8", (n,)), "partition": ("int8", (n,)),
        "attributes": ("bool", (n, len(names))), "identities": ("int32", (n,)), "landmarks": ("int16", (n, 10)),
    }  # fmt: skip
    if not {*wanted, "attribute_names"} >= columns.keys() >= {*list(wanted)[:4], "attribute_names"} or not n:
        return False
    for name, (kind, shape) in wanted.items():
        column = columns.get(name)
        if column is not None and (column.shape != shape or kind not in (column.dtype.kind, column.dtype.name)):
            return False
    labels, partition, ids = columns["labels"], columns["partition"], columns["image_ids"].tobytes()
    return bool(
        np.isin(labels, (0, 1)).all()
        and np.isin(partition, (0, 1, 2)).all()
        and len(set(names)) == len(names)
        and not set(names) & {LABEL, *RESERVED}
        and not any(mark in ids for mark in (b"/", b"\\", b".."))  # CelebA's names have none
    )


def _sources(root: Path) -> dict[str, Path]:
    found = {stem: find_table(root, stem) for stem in (ATTRIBUTES, PARTITION, IDENTITIES, LANDMARKS)}
    missing = [f"{stem}.txt" for stem in (ATTRIBUTES, PARTITION) if found[stem] is None]
    if missing:
        plural = "are" if len(missing) > 1 else "is"
        raise UserError(
            f"CelebA was not found in {root}: {' and '.join(missing)} {plural} missing.",
            "Put CelebA's files there (gender-lightning data prepare says which and from where), "
            "or try data=synthetic.",
            field="data.root",
        )
    return {stem: path for stem, path in found.items() if path is not None}


def _read(sources: dict[str, Path]) -> Index:
    faces = read_table(sources[ATTRIBUTES], dtype=np.int8, required=LABEL)
    label = faces.columns.index(LABEL)
    for name in RESERVED:
        if name in faces.columns:
            raise UserError(f"{faces.path}: a column named {name!r} is not CelebA's.", "Rename or remove it.")
    _check_values(faces, (-1, 0, 1))
    order = _Order(faces)
    other = [column for column in range(len(faces.columns)) if column != label]
    partition = read_table(sources[PARTITION], dtype=np.int8, width=1)
    _check_values(partition, (0, 1, 2))
    identities = landmarks = None
    if IDENTITIES in sources:
        table = read_table(sources[IDENTITIES], dtype=np.int32, width=1)
        identities = order.align(table)[:, 0].astype(np.int32, copy=False)
    if LANDMARKS in sources:
        table = read_table(sources[LANDMARKS], dtype=np.int16, width=10)
        landmarks = order.align(table).astype(np.int16, copy=False)
    return Index(
        image_ids=faces.names,
        labels=(faces.values[:, label] > 0).astype(np.int8),
        partition=order.align(partition)[:, 0].astype(np.int8, copy=False),
        attributes=faces.values[:, other] > 0,
        attribute_names=tuple(faces.columns[column] for column in other),
        identities=identities,
        landmarks=landmarks,
    )


def _check_values(table: LabelTable, allowed: tuple[int, ...]) -> None:
    wrong = (table.values < allowed[0]) | (table.values > allowed[-1])
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        name = table.names[row].decode(errors="replace")
        values = ", ".join(map(str, allowed))
        raise UserError(
            f"{_where(table, name)}: {table.values[row, column]} for {name} is not one of {values}.",
            REMEDY,
        )


class _Order:
    """The images of the attribute file, to whose order the other tables are aligned."""

    def __init__(self, table: LabelTable) -> None:
        self.table = table
        self.sorting = np.argsort(table.names, kind="stable")
        self.sorted = table.names[self.sorting]
        _check_once(table, self.sorted)

    def align(self, table: LabelTable) -> NDArray[np.integer]:
        """Values of ``table`` in the attribute file's order."""
        if np.array_equal(table.names, self.table.names):
            return table.values
        self._check_known(table.names, self.sorted, table, self.table.path.name)
        order = np.argsort(table.names, kind="stable")
        ascending = table.names[order]
        _check_once(table, ascending)
        self._check_known(self.table.names, ascending, self.table, table.path.name)
        values = np.empty_like(table.values)
        values[self.sorting] = table.values[order]
        return values

    @staticmethod
    def _check_known(names: NDArray[np.bytes_], known: NDArray[np.bytes_], table: LabelTable, other: str) -> None:
        at = np.minimum(np.searchsorted(known, names), len(known) - 1)
        unknown = np.flatnonzero(known[at] != names)
        if len(unknown):
            name = names[unknown[0]].decode(errors="replace")
            raise UserError(
                f"{_where(table, name)}: image {name} has no row in {other}.",
                "Take both files from the same copy of CelebA.",
            )


def _check_once(table: LabelTable, ascending: NDArray[np.bytes_]) -> None:
    double = np.flatnonzero(ascending[1:] == ascending[:-1])
    if len(double):
        name = ascending[double[0]].decode(errors="replace")
        line = _where(table, name, last=True)
        raise UserError(f"{line}: image {name} is listed twice.", "Remove one of its rows.")


def _where(table: LabelTable, name: str, *, last: bool = False) -> str:
    """File and line of an image's row, found in the text, since blank lines do not count as rows."""
    wanted, found = name.encode(), table.first_line
    with table.path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            words = line.replace(b",", b" ").replace(b'"', b" ").split()
            if number >= table.first_line and words[:1] == [wanted]:
                found = number
                if not last:
                    break
    return f"{table.path}, line {found}"
