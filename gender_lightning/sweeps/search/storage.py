"""Where a study is kept: a journal beside the sweep, or any database that Optuna knows."""

from __future__ import annotations

import fcntl
import os
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import BaseJournalFileLock

from gender_lightning.errors import UserError

# What a storage raises when it cannot be reached; PostgreSQL may be restarted while a search runs
OUTAGES = (optuna.exceptions.StorageInternalError, OSError)
_TRIES = 5
_OUTAGE_SECONDS = 300.0
_Result = TypeVar("_Result")


class _Lock(BaseJournalFileLock):
    """The kernel's lock on a file beside the journal, which is released the moment that its holder dies.

    Optuna's own lock is a link that stays behind, so that everybody else waits half a minute.
    """

    def __init__(self, journal: str) -> None:
        self._journal = journal
        self._file: int | None = None

    def acquire(self) -> bool:
        file = os.open(f"{self._journal}.lock", os.O_CREAT | os.O_RDWR)
        fcntl.flock(file, fcntl.LOCK_EX)
        self._file = file
        _drop_torn_line(self._journal)
        return True

    def release(self) -> None:
        assert self._file is not None
        file, self._file = self._file, None
        os.close(file)


def open_storage(place: str) -> BaseStorage:
    """Open the storage of a study, or create it.

    Args:
        place: A URL (`postgresql://...`, `sqlite:///...`), or the path of a journal.

    Raises:
        UserError: It cannot be reached, or its driver is not installed.
    """
    if "://" not in place:
        path = str(Path(os.path.expanduser(place)).absolute())
        try:
            return JournalStorage(JournalFileBackend(path, lock_obj=_Lock(path)))
        except (LookupError, ValueError, TypeError, AttributeError, AssertionError) as error:
            raise UserError(
                f"{path} is not a journal of Optuna, or is damaged ({type(error).__name__}).",
                "Choose another with search.study=... or search.storage=...",
                field="search.storage",
            ) from error
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    # several sweeps may wait for SQLite's one lock
    arguments = {"connect_args": {"timeout": 60}} if place.startswith("sqlite") else {"pool_pre_ping": True}
    for attempt in range(1, _TRIES + 1):
        try:
            return optuna.storages.get_storage(RDBStorage(place, engine_kwargs=arguments))
        except (ImportError, ArgumentError) as error:
            raise UserError(
                f"search.storage: its database driver is not installed ({error}).",
                "Install it, or name another in the URL, as postgresql+psycopg://user@host/database does.",
                field="search.storage",
            ) from None
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
            if attempt == _TRIES:
                reason = str(error).strip().splitlines()[0]
                problem = f"search.storage cannot be used ({reason})."
                raise UserError(problem, "Check the URL and the server.", field="search.storage") from None
            time.sleep(attempt / 2)  # another sweep may be making the tables
    raise AssertionError


def patiently(action: Callable[[], _Result], stop: threading.Event, *, seconds: float = _OUTAGE_SECONDS) -> _Result:
    """Call a function that uses a storage, and repeat it for some minutes while the storage cannot be reached.

    Args:
        action: The function; it may be called several times.
        stop: An event that ends the repetition at once.
        seconds: Time after which the last error is raised.

    Raises:
        StorageInternalError, OSError: The storage could not be reached in all that time.
    """
    until = time.monotonic() + seconds
    while True:
        try:
            return action()
        except OUTAGES:
            if time.monotonic() > until or stop.wait(2):
                raise


def quiet() -> None:
    """Silence Optuna's messages, since the table shows the progress."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def _drop_torn_line(journal: str) -> None:
    """Remove an incomplete last line, left by a killed process: the next line would be appended to it, and be lost."""
    with open(journal, "rb+") as file:
        end = file.seek(0, os.SEEK_END)
        if not end:
            return
        file.seek(end - 1)
        if file.read(1) == b"\n":
            return
        start = max(0, end - 65536)
        file.seek(start)
        file.truncate(start + file.read().rfind(b"\n") + 1)
