"""A lock beside a file, so that one process at a time writes it; the lock ends with its process, however that ends."""

from __future__ import annotations

import fcntl
import logging
import os
import time
from pathlib import Path

from gender_lightning.errors import UserError

log = logging.getLogger(__name__)

_PATIENCE = 3.0  # seconds for which the workers of a killed job may still hold its lock
_PAUSE = 0.1  # seconds between two tries


class FileLock:
    """A lock on `.<name>.lock`, held until `release` or until the process and its children have ended."""

    def __init__(self, path: Path) -> None:
        """Take the lock for writing `path`, whose folder must exist.

        Raises:
            UserError: Another process holds the lock.
            OSError: The folder cannot be written to.
        """
        self._file = path.with_name(f".{path.name}.lock")
        self._handle: int | None = self._take(path)

    def release(self) -> None:
        """Let other processes write."""
        if self._handle is not None:
            self._file.unlink(
                missing_ok=True
            )  # while the lock is held: a process that waits sees that the file is gone
            os.close(self._handle)
            self._handle = None

    def _take(self, path: Path) -> int:
        until = time.monotonic() + _PATIENCE
        while True:
            handle = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > until:
                    os.close(handle)
                    raise UserError(
                        f"output={path}: another process is writing this file.",
                        "Wait until that process has ended, or choose another output=...",
                        field="output",
                    ) from None
                time.sleep(_PAUSE)
            except OSError:
                log.debug("This file system has no locks.", exc_info=True)
                return handle
            else:
                if self._is_there(handle):
                    return handle
            os.close(handle)

    def _is_there(self, handle: int) -> bool:
        """Whether the locked file still has its name; the process that held the lock before may have removed it."""
        try:
            return os.path.samestat(os.fstat(handle), self._file.stat())
        except FileNotFoundError:
            return False
