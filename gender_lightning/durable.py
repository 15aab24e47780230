"""Files that are there whole or not at all, also when the power goes."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def publish(temporary: Path, path: Path) -> None:
    """Give a written file its name, once its bytes are on the disk; the name is on the disk afterwards.

    Args:
        temporary: In the directory of `path`.
        path: What is replaced, if it is there.

    Raises:
        OSError: The disk is full or broken; `path` is what it was.
    """
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_directory(path.parent)


def keep_as(path: Path, other: Path) -> None:
    """Give a file a second name, in place of what had it; without a moment at which the first is missing.

    Where the file system has no hard links the file is moved instead.
    """
    spare = other.with_name(f".{other.name}.link")
    spare.unlink(missing_ok=True)
    try:
        os.link(path, spare)
    except OSError:
        path.replace(other)
    else:
        spare.replace(other)


def sync_directory(directory: Path) -> None:
    """Bring new names in a directory to the disk; nothing where directories cannot be opened (Windows)."""
    with suppress(PermissionError, IsADirectoryError):
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
