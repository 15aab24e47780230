"""Files that are there completely or not at all, even after a power failure."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any


@contextmanager
def writing(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Write a file that is there completely or not at all, and replaces any file of that name.

    Args:
        path: The file; its directory must exist.
        mode: `w` for text in UTF-8, whose line ends are not changed, or `wb` for bytes.

    Yields:
        A temporary file in the same directory, which gets its name at the end of the block unless the block raised.

    Raises:
        OSError: The disk is full or broken; `path` is what it was.

    Example:
        >>> with writing(Path("metrics.json")) as file:
        ...     file.write("{}")
    """
    assert mode in ("w", "wb")
    temporary = temporary_name(path)
    text = {"encoding": "utf-8", "newline": ""} if mode == "w" else {}
    try:
        with open(temporary, mode.replace("w", "x"), **text) as file:  # type: ignore[call-overload]
            yield file
        publish(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def temporary_name(path: Path, suffix: str = "") -> Path:
    """A hidden name beside a file, for a writer that needs a path rather than an open file; pass it to `publish`.

    Two writers never get the same name, also when they run on different machines or in threads of one process.

    Args:
        path: The file to be written.
        suffix: The end of the name, for a writer that chooses a format by it (`.mp4`).
    """
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}{suffix}")


def publish(temporary: Path, path: Path) -> None:
    """Give a written file its name, once its bytes are on the disk; the name is on the disk afterwards.

    Args:
        temporary: The file, in the directory of `path`.
        path: The name that it gets; a file of that name is replaced.

    Raises:
        OSError: The disk is full or broken; `path` is what it was.
    """
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_directory(path.parent)


def keep_as(path: Path, other: Path) -> None:
    """Give a file a second name, replacing any file of that name; the first name is never missing.

    On a file system without hard links, the file is moved instead.
    """
    spare = temporary_name(other)
    try:
        os.link(path, spare)
    except OSError:
        path.replace(other)
    else:
        spare.replace(other)


def sync_directory(directory: Path) -> None:
    """Flush new names in a directory to the disk; does nothing if directories cannot be opened (Windows)."""
    with suppress(PermissionError, IsADirectoryError):
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
