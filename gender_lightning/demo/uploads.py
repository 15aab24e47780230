"""Uploaded pictures: in memory where that can be, gone when they have been looked at, and gone with the program."""

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

_MEMORY = Path("/dev/shm")  # a file system in memory, where there is one: uploads never reach a disk
_ROOM = 1 << 30  # bytes: in a container it has often 64 MB, which a dozen photographs fill
_EVERY = 30.0  # seconds between two looks for what was left behind
# A process of its own, which ends when its standard input does: that is when this program is gone, however it ended.
_UNDERTAKER = "import shutil, sys; sys.stdin.read(); shutil.rmtree(sys.argv[1], ignore_errors=True)"


@contextmanager
def upload_folder(seconds: float) -> Iterator[Path]:
    """A new folder for uploads, which is removed at the end, even that of a program that is killed or crashes.

    Args:
        seconds: After which a file is taken for left behind: its page was closed before it was looked at, or its
            upload was broken off.
    """
    memory = _MEMORY if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free >= _ROOM else None
    with tempfile.TemporaryDirectory(prefix="gender-lightning-", dir=memory) as name:
        command = [sys.executable, "-I", "-S", "-c", _UNDERTAKER, name]
        undertaker = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
        over = threading.Event()
        threading.Thread(target=_tidy, args=(Path(name), seconds, over), name="tidy-uploads", daemon=True).start()
        try:
            yield Path(name)
        finally:
            over.set()
            undertaker.communicate()


def _tidy(folder: Path, seconds: float, over: threading.Event) -> None:
    while not over.wait(_EVERY):
        remove_older(folder, seconds)


def remove_older(folder: Path, seconds: float) -> None:
    """Remove the uploads that nobody has touched for so long, whole ones and those that were broken off."""
    for file in [*folder.glob("*/*"), *folder.glob("tmp*")]:  # Gradio keeps a file of its own beside them
        with suppress(FileNotFoundError):  # looked at meanwhile
            if time.time() - file.stat().st_mtime > seconds:
                _remove(file)


def as_uploaded(component: _Component) -> _Component:
    """Have one of Gradio's components give the paths of files as they came, one or several.

    One that is no picture is ours to speak of, not Gradio's, and nothing is copied.
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
    """Remove uploaded files and the folders that Gradio has made for each, whatever happens meanwhile."""
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
    # Gradio makes a folder for each, named by its content; one that is not empty holds another name of the same.
    if file.parent.parent.name.startswith("gender-lightning-"):
        with suppress(OSError):
            file.parent.rmdir()
