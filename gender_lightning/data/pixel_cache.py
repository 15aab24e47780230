"""`data.cache`: the decoded and framed pictures of a split as one file, shared by ranks, trials and runs."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gender_lightning.data.framing import Framing
from gender_lightning.data.sources.annotations import Index
from gender_lightning.data.sources.images import ImageStore
from gender_lightning.durable import publish
from gender_lightning.errors import UserError

log = logging.getLogger(__name__)

VERSION = 1  # of the format: raise it when the same pictures give other pixels
CHUNK = 64  # images per task
_NAME = re.compile(r"faces-\d+px-[0-9a-f]{32}(\.npy|\.lock|-\w+\.tmp)|skipped-[0-9a-f]{32}\.csv")
_DECODERS = ("torch", "simplejpeg", "pillow")  # pixels may differ by one level between their versions
_FULL = (errno.ENOSPC, errno.EDQUOT)


class PixelCache:
    """The pictures of a split in a file that is mapped into memory, read-only.

    Args:
        path: A `.npy` file of shape (N, 3, S, S), uint8.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._array: NDArray[np.uint8] | None = None

    def read(self, rows: Sequence[int]) -> Tensor:
        """Copy these rows: shape (B, 3, S, S), uint8."""
        return torch.from_numpy(self.array[np.asarray(rows, dtype=np.intp)])

    @property
    def array(self) -> NDArray[np.uint8]:
        """All pictures, shape (N, 3, S, S); opened in each process that reads."""
        if self._array is None:
            self._array = np.load(self.path, mmap_mode="r", allow_pickle=False)
        return self._array

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_array": None}  # a worker maps the file itself: pickling would copy all of it


def digest(index: Index, store: ImageStore, framing: Framing | None, cut: bytes = b"") -> str:
    """A hash of everything that determines the pixels of a split: images, files, framing, faces, decoder versions.

    Args:
        index: The rows, in their order.
        store: The files; their sizes and modification times are looked up.
        framing: How a picture is cropped and resized; None for a result that does not depend on it.
        cut: A hash of what determines the part of a picture that is framed; empty for the whole picture.
    """
    settings = {
        "version": VERSION,
        "framing": None if framing is None else asdict(framing),
        "decoders": {name: version(name) for name in _DECODERS},
        "ids": str(index.image_ids.dtype),
        "images": len(index),
    }
    found = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    found.update(np.ascontiguousarray(index.image_ids).tobytes())
    found.update(store.fingerprint(index.image_ids))
    found.update(cut)
    return found.hexdigest()[:32]


def open_cache(
    directory: Path,
    index: Index,
    store: ImageStore,
    framing: Framing,
    read: Callable[[Sequence[int]], Tensor],
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
    make: bool = True,
    cut: bytes = b"",
) -> PixelCache | None:
    """The cached pictures of a split, which are decoded now if there is no cache of these images in this framing.

    Processes that need the same cache at the same time wait for the one that decodes.

    Args:
        directory: The directory of all caches; created if it does not exist.
        index: The rows of the split.
        store: Their files.
        framing: How a picture is cropped and resized.
        read: Decodes these rows: shape (B, 3, S, S), uint8.
        workers: Number of threads that decode.
        progress: Called with (images decoded, images in all).
        make: Whether to decode where there is no such cache; otherwise the result is None.
        cut: See `digest`.

    Raises:
        UserError: The directory cannot be written, the disk is full, or a picture does not decode.
    """
    shape = (len(index), 3, *framing.shape)
    path = directory / f"faces-{framing.image_size}px-{digest(index, store, framing, cut)}.npy"
    if (found := _existing(path, shape)) is not None or not make:
        return found
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with _locked(path.with_suffix(".lock")):
            if (found := _existing(path, shape)) is not None:  # another process has just made it
                return found
            for stale in directory.glob(f"{path.stem}-*.tmp"):  # left by a process that was killed
                stale.unlink(missing_ok=True)
            _check_space(directory, int(np.prod(shape)))
            _write(path, shape, read, workers, progress)
    except OSError as error:
        raise _unwritable(directory, error) from error
    return PixelCache(path)


def clear(directory: Path) -> tuple[int, int]:
    """Delete every cache in a directory, and nothing else.

    Trainings that use one keep it until they end.

    Returns:
        The number of picture files deleted, and the bytes of all files deleted.

    Raises:
        UserError: A file cannot be deleted.
    """
    files, size = 0, 0
    try:
        for path in sorted(directory.iterdir()) if directory.is_dir() else []:
            if _NAME.fullmatch(path.name) and path.is_file() and not path.is_symlink():
                files += path.suffix == ".npy"
                size += path.stat().st_size
                path.unlink()
    except OSError as error:
        raise UserError(
            f"{error.filename or directory} cannot be deleted: {error.strerror}.", "Check who owns it.",
            field="data.cache",
        ) from error  # fmt: skip
    return files, size


def _existing(path: Path, shape: tuple[int, ...]) -> PixelCache | None:
    """The cache, if it is there and intact; a damaged one is made again."""
    if not path.is_file():
        return None
    found = PixelCache(path)
    try:
        if found.array.shape == shape and found.array.dtype == np.uint8 and found.array.flags.c_contiguous:
            return found
        reason = "it has another shape"
    except (OSError, ValueError, EOFError) as error:
        reason = str(error)
    log.warning("The cache %s is damaged (%s) and is made again.", path, reason)
    return None


def _write(
    path: Path,
    shape: tuple[int, ...],
    read: Callable[[Sequence[int]], Tensor],
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.stem}-", suffix=".tmp")
    temporary = Path(name)
    try:
        # written and not mapped: on a full disk a write fails, where a mapped page would kill the process
        with os.fdopen(descriptor, "wb") as file:
            np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
            done = 0
            for images in _decoded(shape[0], read, workers):
                file.write(images.numpy().data)
                done += len(images)
                if progress is not None:
                    progress(done, shape[0])
        temporary.chmod(0o644)  # so that others who share the directory can read it
        publish(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _decoded(images: int, read: Callable[[Sequence[int]], Tensor], workers: int) -> Iterator[Tensor]:
    """All pictures in order, decoded in threads that do not run far ahead of the disk."""
    threads = torch.get_num_threads()
    waiting: deque[Future[Tensor]] = deque()
    try:
        # each of our threads uses one of torch's
        with ThreadPoolExecutor(max(1, workers), initializer=torch.set_num_threads, initargs=(1,)) as pool:
            for start in range(0, images, CHUNK):
                waiting.append(pool.submit(read, range(start, min(start + CHUNK, images))))
                if len(waiting) > 4 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a file's lock; where the file system has no locks, two processes may decode the same pictures."""
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("Another process is filling data.cache: waiting for it.")
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            log.debug("This file system has no locks.", exc_info=True)
        yield


def _check_space(directory: Path, needed: int) -> None:
    with suppress(OSError):  # a file system that does not tell
        free = shutil.disk_usage(directory).free
        if free < needed:
            raise UserError(
                f"data.cache={directory} needs {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free there.",
                "Free some space, choose another disk, or leave data.cache out.",
                field="data.cache",
            )


def _unwritable(directory: Path, error: OSError) -> UserError:
    reason = "the disk is full" if error.errno in _FULL else error.strerror or str(error)
    return UserError(
        f"data.cache={directory} cannot be written: {reason}.",
        "Choose another directory, or leave data.cache out.",
        field="data.cache",
    )
