"""Files that are there whole or not at all, also when the power goes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any


@contextmanager
def writing(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Write a file that is there whole or not at all, in place of what has its name.

    Args:
        path: The file; its directory must exist.
        mode: `w` for text in UTF-8, whose line ends are left as they are, or `wb` for bytes.

    Yields:
        A temporary file in the same directory, which gets its name at the end, unless the block has raised.

    Raises:
        OSError: The disk is full or broken; `path` is what it was.

    Example:
        >>> with writing(Path("metrics.json")) as file:
        ...     file.write("{}")
    """
    assert mode in ("w", "wb")
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    text = {"encoding": "utf-8", "newline": ""} if mode == "w" else {}
    try:
        temporary.unlink(missing_ok=True)  # a link that somebody has put there would be followed
        with open(temporary, mode.replace("w", "x"), **text) as file:  # type: ignore[call-overload]
            yield file
        publish(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


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
