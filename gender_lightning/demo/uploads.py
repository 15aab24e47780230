"""Uploaded pictures: kept in memory where possible, deleted after use and when the program ends."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

_Component = TypeVar("_Component")

_MEMORY = Path("/dev/shm")  # a file system in memory, if there is one: uploads never reach a disk
_ROOM = 1 << 30  # bytes: containers often have only 64 MB there, which a dozen photographs fill
_EVERY = 30.0  # seconds between searches for abandoned files
# A separate process that cleans up when its standard input is closed, that is, when this program ends in any way.
_CLEANER = "import shutil, sys; sys.stdin.read(); shutil.rmtree(sys.argv[1], ignore_errors=True)"


@contextmanager
def upload_folder(seconds: float) -> Iterator[Path]:
    """Create a folder for uploads that is removed at the end, even if the program crashes or is killed.

    Args:
        seconds: Age after which a file counts as abandoned: its page was closed before it was processed, or its upload
            was interrupted.
    """
    memory = _MEMORY if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free >= _ROOM else None
    with tempfile.TemporaryDirectory(prefix="gender-lightning-", dir=memory) as name:
        command = [sys.executable, "-I", "-S", "-c", _CLEANER, name]
        cleaner = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
        over = threading.Event()
        threading.Thread(target=_tidy, args=(Path(name), seconds, over), name="tidy-uploads", daemon=True).start()
        try:
            yield Path(name)
        finally:
            over.set()
            cleaner.communicate()


def _tidy(folder: Path, seconds: float, over: threading.Event) -> None:
    while not over.wait(_EVERY):
        remove_older(folder, seconds)


def remove_older(folder: Path, seconds: float) -> None:
    """Remove complete and interrupted uploads that were not touched for `seconds`."""
    for file in [*folder.glob("*/*"), *folder.glob("tmp*")]:  # Gradio keeps files of its own beside them
        with suppress(FileNotFoundError):  # processed meanwhile
            if time.time() - file.stat().st_mtime > seconds:
                _remove(file)


def as_uploaded(component: _Component) -> _Component:
    """Make a Gradio component pass on the paths of uploaded files unchanged, one or several.

    Files that are not pictures are then reported by us rather than by Gradio, and nothing is copied.
    """
    component.preprocess = _paths  # type: ignore[attr-defined]
    return component


def _paths(payload: Any) -> Any:
    if payload is None:
        return None
    several = getattr(payload, "root", None)
    return payload.path if several is None else [file.path for file in several]


@contextmanager
def removed(paths: Sequence[str]) -> Iterator[None]:
    """Remove uploaded files and the folders that Gradio created for them when the block ends, in whatever way."""
    try:
        for path in paths:  # a batch may take longer than files are kept
            with suppress(FileNotFoundError):
                os.utime(path)
        yield
    finally:
        for path in paths:
            _remove(Path(path))


def _remove(file: Path) -> None:
    file.unlink(missing_ok=True)
    # Gradio creates a folder per content; a folder that is not empty has the same picture under another name.
    if file.parent.parent.name.startswith("gender-lightning-"):
        with suppress(OSError):
            file.parent.rmdir()
