"""Folders of faces, one per class, as an index."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from gender_lightning.data.annotations import SPLITS, Index
from gender_lightning.data.selection import random_split
from gender_lightning.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
CLASSES = {"female": 0, "woman": 0, "women": 0, "f": 0, "male": 1, "man": 1, "men": 1, "m": 1}
SPLIT_NAMES = {"train": 0, "valid": 1, "val": 1, "validation": 1, "test": 2}


def read_folder(root: Path, sizes: Mapping[str, int | float], seed: int) -> Index:
    """Read ``root/{train,valid,test}/{female,male}/``, or ``root/{female,male}/`` with a random split.

    Names in any case; ``woman/man``, ``women/men``, ``f/m`` and ``val`` are understood. Pictures are found at
    any depth below their class.

    Args:
        root: The folder.
        sizes: Of the stratified random split, used when there are no split folders.
        seed: Of that split.

    Returns:
        Ids are paths below ``root`` (UTF-8), in sorted order whatever the file system's.

    Raises:
        UserError: The folder or both classes are missing, or there is no picture.
    """
    if not root.is_dir():
        raise UserError(f"The folder {root} does not exist. Set data.root to the folder of your faces.")
    try:
        splits = _folders(root, SPLIT_NAMES)
        rows = [row for path, split in splits for row in _class_rows(root, path, split)]
        if not splits:
            rows = list(_class_rows(root, root, 0))
    except OSError as error:
        raise UserError(f"{error.filename} cannot be listed: {error.strerror}. Make it readable.") from error
    if not rows:
        raise UserError(
            f"{root} holds no faces: looked for {'/'.join(SUFFIXES)} in female/ and male/, "
            "below train/, valid/ and test/ or directly. "
            "Sort the pictures into such folders, or set data.root."
        )
    rows.sort()
    ids, labels, partition = zip(*rows, strict=True)
    index = Index(
        image_ids=np.array(ids, dtype=np.bytes_),
        labels=np.array(labels, dtype=np.int8),
        partition=np.array(partition, dtype=np.int8),
        attributes=np.zeros((len(rows), 0), dtype=np.bool_),
        attribute_names=(),
    )
    return index if splits else random_split(index, sizes, "images", seed)


def _folders(path: Path, known: Mapping[str, int]) -> list[tuple[Path, int]]:
    """The folders whose name is known, in any case, with what the name stands for."""
    folders = sorted(child for child in path.iterdir() if child.is_dir() and child.name.lower() in known)
    return [(folder, known[folder.name.lower()]) for folder in folders]


def _class_rows(root: Path, parent: Path, split: int) -> Iterator[tuple[bytes, int, int]]:
    """(id, label, split) of each picture below the class folders of ``parent``."""
    for path, label in _folders(parent, CLASSES):
        for folder, names in _walk(path):
            for name in names:
                if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                    below = (Path(folder) / name).relative_to(root).as_posix()
                    yield _identifier(below, root), label, split


def _walk(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Each folder below ``path`` once, with its files; links are followed, but not in circles."""
    seen: set[tuple[int, int]] = set()
    for folder, folders, names in os.walk(path, followlinks=True):
        state = os.stat(folder)
        if (state.st_dev, state.st_ino) in seen:
            folders.clear()
            continue
        seen.add((state.st_dev, state.st_ino))
        yield folder, names


def _identifier(below: str, root: Path) -> bytes:
    """The id of a file; UserError where its name is no text."""
    try:
        return below.encode()
    except UnicodeEncodeError:
        shown = os.fsencode(below).decode(errors="replace")
        raise UserError(f"{root / shown}: the name of this file is not UTF-8. Rename it.") from None


assert set(SPLIT_NAMES.values()) == set(range(len(SPLITS)))
