"""Folders of faces, one per class, as an index."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gender_lightning.data.decoding import picture_suffixes, why_not
from gender_lightning.data.rows.selection import random_split
from gender_lightning.data.sources.annotations import SPLITS, Index
from gender_lightning.errors import UserError

log = logging.getLogger(__name__)

CLASSES = {"female": 0, "woman": 0, "women": 0, "f": 0, "male": 1, "man": 1, "men": 1, "m": 1}
SPLIT_NAMES = {
    "train": 0, "training": 0, "valid": 1, "val": 1, "validation": 1, "validating": 1, "dev": 1,
    "test": 2, "testing": 2,
}  # fmt: skip
_FEWEST_SUBFOLDERS = 5  # subfolders in each class, from which on they are taken for persons
_MOST_OF_ONE = 0.2  # the largest fraction of a class's pictures that one person may have
_MOST_TOLD = 5  # kinds of files, and names of folders, in one line


@dataclass
class Ignored:
    """Files and folders that are not used."""

    files: Counter[str] = field(default_factory=Counter)  # by extension
    folders: list[str] = field(default_factory=list)

    def report(self, root: Path) -> None:
        """Log one line that says what was left out, if anything was."""
        told = []
        for suffix, count in self.files.most_common(_MOST_TOLD):
            reason = why_not(suffix)
            told.append(f"{count:,} {suffix}{f' ({reason})' if reason else ''}")
        if others := sum(self.files.values()) - sum(count for _, count in self.files.most_common(_MOST_TOLD)):
            told.append(f"{others:,} other files")
        if self.folders:
            more = len(self.folders) - _MOST_TOLD
            names = ", ".join(sorted(self.folders)[:_MOST_TOLD]) + (f" and {more} more" if more > 0 else "")
            told.append(f"the folder{'s' if len(self.folders) > 1 else ''} {names}")
        if told:
            log.warning("%s: left out: %s.", root, ", ".join(told))


def read_folder(root: Path, sizes: Mapping[str, int | float], seed: int) -> Index:
    """Read ``root/{train,valid,test}/{female,male}/``, or ``root/{female,male}/`` with a random split.

    Names are recognised in any case; ``woman/man``, ``women/men``, ``f/m``, ``val`` and
    ``Training/Validation/Testing`` are understood too. Pictures are found at any depth below their class; hidden files
    and folders (``.ipynb_checkpoints``) are ignored, and whatever else is left out is logged. Where every picture lies
    in a subfolder of its class (``male/person/1.jpg``), with at least five subfolders in each class and none that holds
    more than a fifth of its class, the subfolders are taken for persons, and a random split keeps each in one part.

    Args:
        root: The folder.
        sizes: Sizes of the stratified random split, used when there are no split folders.
        seed: Seed of that split.

    Returns:
        An index whose ids are paths below ``root`` (UTF-8), in sorted order whatever the file system's.

    Raises:
        UserError: The folder or both classes are missing, or there is no picture.
    """
    if not root.is_dir():
        raise UserError(
            f"The folder {root} does not exist.", "Set data.root to the folder of your faces.", field="data.root"
        )
    try:
        ignored = Ignored()
        splits = _folders(root, SPLIT_NAMES, ignored)
        rows = [row for path, split in splits for row in _class_rows(root, path, split, ignored)]
        if not splits:
            rows = list(_class_rows(root, root, 0, ignored))
    except OSError as error:
        raise UserError(f"{error.filename} cannot be listed: {error.strerror}.", "Make it readable.") from error
    if not rows:
        raise UserError(
            f"{root} holds no faces: looked for {'/'.join(sorted(picture_suffixes()))} in female/ and male/, "
            "below train/, valid/ and test/ or directly.",
            "Sort the pictures into such folders, or set data.root.",
            field="data.root",
        )
    ignored.report(root)
    rows.sort()
    ids, labels, partition = zip(*rows, strict=True)
    index = Index(
        image_ids=np.array(ids, dtype=np.bytes_),
        labels=np.array(labels, dtype=np.int8),
        partition=np.array(partition, dtype=np.int8),
        attributes=np.zeros((len(rows), 0), dtype=np.bool_),
        attribute_names=(),
        identities=_persons(ids, labels, level=2 if splits else 1),
    )
    if splits:
        return index
    return random_split(index, sizes, "images" if index.identities is None else "identities", seed)


def _persons(ids: Sequence[bytes], labels: Sequence[int], level: int) -> NDArray[np.int32] | None:
    """Number the folders at this level of the path, one number per picture, where they are persons; else None.

    Folders of the same name in two splits or classes count as two persons: usually each starts its own numbering.
    """
    parts = [image_id.split(b"/") for image_id in ids]
    if any(len(names) <= level + 1 for names in parts):
        return None  # some lie directly in the folder of their class
    folders = [b"/".join(names[: level + 1]) for names in parts]
    of_class = Counter(labels)
    counts = Counter(zip(labels, folders, strict=True))
    for label, total in of_class.items():
        own = [count for (of, _), count in counts.items() if of == label]
        if len(own) < _FEWEST_SUBFOLDERS or max(own) > _MOST_OF_ONE * total:
            return None
    numbers = {folder: number for number, folder in enumerate(sorted(set(folders)), start=1)}
    log.info("The folders below the classes are taken for %s persons.", f"{len(numbers):,}")
    return np.array([numbers[folder] for folder in folders], dtype=np.int32)


def _folders(path: Path, known: Mapping[str, int], ignored: Ignored) -> list[tuple[Path, int]]:
    """The folders whose name is known, in any case, with what the name stands for; the others are noted."""
    folders = sorted(child for child in path.iterdir() if child.is_dir() and not child.name.startswith("."))
    found = [(folder, known[folder.name.lower()]) for folder in folders if folder.name.lower() in known]
    if found:
        ignored.folders += [f"{folder.name}/" for folder in folders if folder.name.lower() not in known]
    return found


def _class_rows(root: Path, parent: Path, split: int, ignored: Ignored) -> Iterator[tuple[bytes, int, int]]:
    """(id, label, split) of each picture below the class folders of ``parent``."""
    for path, label in _folders(parent, CLASSES, ignored):
        for folder, names in _walk(path):
            for name in names:
                suffix = Path(name).suffix.lower()
                if name.startswith("."):
                    continue
                if suffix in picture_suffixes():
                    below = (Path(folder) / name).relative_to(root).as_posix()
                    yield _identifier(below, root), label, split
                else:
                    ignored.files[suffix or "without an extension"] += 1


def _walk(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Each folder below ``path`` once, with its files; follows links, but not in circles, and skips hidden folders."""
    seen: set[tuple[int, int]] = set()
    for folder, folders, names in os.walk(path, followlinks=True):
        state = os.stat(folder)
        if (state.st_dev, state.st_ino) in seen:
            folders.clear()
            continue
        seen.add((state.st_dev, state.st_ino))
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield folder, names


def _identifier(below: str, root: Path) -> bytes:
    """The id of a file.

    Raises:
        UserError: The name of the file is not UTF-8.
    """
    try:
        return below.encode()
    except UnicodeEncodeError:
        shown = os.fsencode(below).decode(errors="replace")
        raise UserError(f"{root / shown}: the name of this file is not UTF-8.", "Rename it.") from None


assert set(SPLIT_NAMES.values()) == set(range(len(SPLITS)))
