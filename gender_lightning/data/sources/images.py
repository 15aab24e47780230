"""Where the bytes of the pictures come from: a folder or a zip file."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gender_lightning.data.sources.annotations import SUBFOLDERS
from gender_lightning.data.sources.archive import Archive
from gender_lightning.errors import UserError

FOLDER = "img_align_celeba"
ARCHIVE = "img_align_celeba.zip"
MOST_BYTES = 1 << 29  # size of an encoded picture


class ImageStore(Protocol):
    """A source of encoded pictures; can be pickled and forked."""

    def read(self, image_id: bytes) -> bytes:
        """The file's bytes; UserError when there is no such file."""
        ...

    def exists(self, image_ids: NDArray[np.bytes_]) -> NDArray[np.bool_]:
        """Shape (N,): which of these images are there."""
        ...

    def describe(self, image_id: bytes) -> str:
        """The picture's path, for messages."""
        ...

    def fingerprint(self, image_ids: NDArray[np.bytes_]) -> bytes:
        """A value that changes when one of these files is replaced, as far as size and modification time tell."""
        ...


def read_bytes(path: str) -> bytes:
    """The bytes of a picture's file.

    Raises:
        OSError: It cannot be read, or is not a regular file: a named pipe would block, a device never ends.
    """
    with open(path, "rb", opener=_without_waiting) as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode):
            raise OSError(None, "it is not a regular file", path)
        if state.st_size > MOST_BYTES:
            raise OSError(None, f"its {state.st_size:,} bytes are more than any picture has", path)
        return file.read()


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # has no effect on regular files


class FolderStore:
    """Pictures as files; an id is the path below the folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, image_id: bytes) -> bytes:
        """The file's bytes; UserError when it cannot be read."""
        path = self.describe(image_id)
        try:
            return read_bytes(path)
        except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
            reason = getattr(error, "strerror", None) or error
            raise UserError(
                f"{path} cannot be read: {reason}.", "Restore it, or remove its row from the label files."
            ) from error

    def exists(self, image_ids: NDArray[np.bytes_]) -> NDArray[np.bool_]:
        """Shape (N,): which of these images are there. One listing per folder, not one query per image."""
        ids = image_ids.tolist()
        there: set[bytes] = set()
        for folder in {image_id.rpartition(b"/")[0] for image_id in ids}:
            prefix = folder + b"/" if folder else b""
            listed = os.path.join(os.fsencode(self.root), folder)
            if os.path.isdir(listed):
                there.update(prefix + name for name in os.listdir(listed))
        return np.fromiter((image_id in there for image_id in ids), dtype=np.bool_, count=len(ids))

    def describe(self, image_id: bytes) -> str:
        """The picture's path."""
        return os.path.join(self.root, os.fsdecode(image_id))

    def fingerprint(self, image_ids: NDArray[np.bytes_]) -> bytes:
        """The folder's path, and the size and modification time of each file (2 s for CelebA's 202,599)."""
        root = os.fsencode(self.root)
        states = np.full((len(image_ids), 2), -1, dtype=np.int64)
        for state, image_id in zip(states, image_ids.tolist(), strict=True):
            with suppress(OSError, ValueError):  # reading the file will say what is wrong with it
                found = os.stat(os.path.join(root, image_id))
                state[:] = found.st_size, found.st_mtime_ns
        return os.path.realpath(root) + states.tobytes()


class ZipStore:
    """Pictures inside a zip file; an id is the file name without the folders inside the archive."""

    def __init__(self, path: Path) -> None:
        """Open the archive; UserError when it is not a complete zip file."""
        self.archive = Archive(path)

    def read(self, image_id: bytes) -> bytes:
        """The file's bytes; UserError when it is missing or damaged."""
        return self.archive.read(image_id)

    def exists(self, image_ids: NDArray[np.bytes_]) -> NDArray[np.bool_]:
        """Shape (N,): which of these images are in the archive."""
        return np.isin(image_ids, self.archive.directory.names)

    def describe(self, image_id: bytes) -> str:
        """Archive and name, for example ``img_align_celeba.zip:000001.jpg``."""
        return f"{self.archive.path}:{os.fsdecode(image_id)}"

    def fingerprint(self, image_ids: NDArray[np.bytes_]) -> bytes:
        """The archive's path, size and modification time."""
        state = os.stat(self.archive.path)
        return f"{os.path.realpath(self.archive.path)}:{state.st_size}:{state.st_mtime_ns}".encode()


def find_celeba_images(root: Path) -> Path | None:
    """The folder of the pictures, else the zip file, else None.

    Looks for the official layout, Kaggle's (``img_align_celeba/img_align_celeba``), the folders of CelebA's
    drive (``Img``) and torchvision's (``celeba``).
    """
    bases = [root / name for name in (*SUBFOLDERS, "Img")]
    for base in bases:
        for folder in (base / FOLDER / FOLDER, base / FOLDER):
            if folder.is_dir() and _has_file(folder):
                return folder
    return next((base / ARCHIVE for base in bases if (base / ARCHIVE).is_file()), None)


def _has_file(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        return any(entry.is_file() for entry in entries)


def open_celeba_images(root: Path) -> ImageStore:
    """The pictures of a CelebA root: a folder where there is one with files in it, else the zip file.

    Raises:
        UserError: Neither is there, or the zip is incomplete.
    """
    path = find_celeba_images(root)
    if path is None:
        raise UserError(
            f"CelebA's images were not found in {root}: neither {FOLDER}/ nor {ARCHIVE} is there.",
            "Put one of them there (gender-lightning data prepare says from where), or try data=synthetic.",
            field="data.root",
        )
    return FolderStore(path) if path.is_dir() else ZipStore(path)
