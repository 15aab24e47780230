"""Rows on their way to a table: complete parts beside it, joined at the end. A kill at any moment loses no part.

While a job runs, `<output>.parts/` holds `settings.json` and numbered parts, each of which is complete on the disk
before it gets its name. At the end they are joined into a file that takes the output's name in one step. The settings
stay beside it (`<output>.settings.json`), so that a later resume=true cannot mix the predictions of two models in one
table. A lock on `.<output>.lock`, which ends with the process, keeps a second job out.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gender_lightning.errors import UserError
from gender_lightning.inference.stream.formats import FORMATS, read_rows, write_rows
from gender_lightning.inference.stream.items import Item, PredictedPicture, Row
from gender_lightning.inference.stream.lock import FileLock
from gender_lightning.plain_files import read_json
from gender_lightning.runs import write_text

log = logging.getLogger(__name__)

_ROWS = 5000  # rows in a part
_SECONDS = 5.0  # after this time a part is written even if it is small


class Done:
    """The pictures that have their rows, as 64-bit hashes: 16 bytes per picture."""

    def __init__(self, keys: list[int]) -> None:
        found, counts = np.unique(np.array(keys, dtype=np.uint64), return_counts=True)
        self._keys: NDArray[np.uint64] = found
        self._left: NDArray[np.int64] = counts.astype(np.int64)
        self.pictures = len(keys)

    def take(self, item: Item) -> bool:
        """Whether the picture has its rows; a picture that is listed twice has them twice."""
        key = np.uint64(_key(item.name, item.frame))
        place = int(np.searchsorted(self._keys, key))
        if place == len(self._keys) or self._keys[place] != key or not self._left[place]:
            return False
        self._left[place] -= 1
        return True


class Output:
    """A table that is being written."""

    def __init__(self, path: Path, settings: Mapping[str, Any], *, resume: bool) -> None:
        """Create the folder of the parts, or continue an earlier job in it.

        Args:
            path: The table: .csv, .parquet or .jsonl.
            settings: Everything that the rows depend on; a resumed job must have the same.
            resume: Whether to continue an earlier job, finished or not; otherwise neither table nor parts may exist.

        Raises:
            UserError: The extension is unknown, a table or parts exist already, the settings differ, another process
                is writing the table, or there is no permission to write.
        """
        if path.suffix.lower() not in FORMATS:
            raise UserError(
                f"output={path}: its extension names no known format.",
                f"Use one of: {', '.join(FORMATS)}.",
                field="output",
            )
        self.path = path
        self.folder = path.with_name(f"{path.name}.parts")
        self._kept = path.with_name(f"{path.name}.settings.json")
        self._lock: FileLock | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(path)
            self._open(dict(settings), resume)
        except OSError as error:
            self.close()
            raise UserError(
                f"output={path}: it cannot be written ({error.strerror}).", "Choose another place.", field="output"
            ) from error
        except UserError:
            self.close()
            raise
        self._parts = sorted(self.folder.glob("*.jsonl"))
        self._number = int(self._parts[-1].stem) if self._parts else 0
        self._rows: list[Row] = []
        self._again: Iterator[tuple[Row, ...]] = iter(())
        self._flushed = time.monotonic()

    def done(self) -> Done:
        """The pictures that already have their rows."""
        return Done([_key(row["image"], row["frame"]) for row in self._all_rows() if not row["face"]])

    def rows_of(self, item: Item) -> tuple[Row, ...]:
        """The rows of a finished picture; fast if pictures are requested in the order of the table."""
        for _ in range(2):
            for rows in self._again:
                if (rows[0]["image"], rows[0]["frame"]) == (item.name, item.frame):
                    return rows
            self._again = by_picture(self._all_rows())
        raise AssertionError(f"{item.name} is not done")

    def write(self, pictures: list[PredictedPicture]) -> None:
        """Add the rows of some pictures; they reach the disk every few seconds."""
        for picture in pictures:
            self._rows += picture.rows
        if len(self._rows) >= _ROWS or time.monotonic() - self._flushed >= _SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write all rows added so far to the disk, as one part."""
        if self._rows:
            self._number += 1
            part = self.folder / f"{self._number:08d}.jsonl"
            write_rows(part, iter(self._rows))
            self._parts.append(part)
            self._rows = []
        self._flushed = time.monotonic()

    def finish(self) -> None:
        """Join the parts into the table and remove them."""
        self.flush()
        joined = self.folder / f"joined{self.path.suffix.lower()}"
        write_rows(joined, self._all_rows())
        # If the program is killed between the next two steps, this file shows that the table holds the parts already.
        write_text(self.folder / "joined.json", json.dumps({"inode": joined.stat().st_ino}))
        write_text(self._kept, (self.folder / "settings.json").read_text(encoding="utf-8"))
        joined.replace(self.path)
        shutil.rmtree(self.folder)
        self.close()

    def close(self) -> None:
        """Release the lock; nothing may be written afterwards. The end of the process releases it too."""
        if self._lock is not None:
            self._lock.release()

    def _open(self, settings: dict[str, Any], resume: bool) -> None:
        self._remove_joined()
        if not resume and (self.folder.exists() or self.path.exists()):
            what = "an unfinished job is beside it" if self.folder.exists() else "it exists already"
            raise UserError(
                f"output={self.path}: {what}.",
                "Continue with resume=true, or choose another output=...",
                field="output",
            )
        if self.path.exists():
            next(read_rows(self.path), None)  # raises if the file is something else
            self._compare(self._kept, settings)
        file = self.folder / "settings.json"
        if self.folder.exists() and file.is_file():
            self._compare(file, settings)
            return
        self.folder.mkdir(exist_ok=True)
        write_text(file, json.dumps(settings, indent=2) + "\n")

    def _compare(self, file: Path, settings: dict[str, Any]) -> None:
        """Refuse to continue a table that was made with other settings."""
        if not file.is_file():
            log.warning(
                "%s: its settings are unknown, since an earlier version wrote it or it was moved. It is continued all "
                "the same; if it was made with another checkpoint, choose another output=...",
                self.path,
            )
            return
        before = read_json(file)
        before = before if isinstance(before, dict) else {}
        changed = [name for name in settings if name in before and before[name] != settings[name]]
        if changed:
            told = ", ".join(f"{name}={_short(before.get(name))}, now {_short(settings[name])}" for name in changed)
            raise UserError(
                f"output={self.path} was made with {told}.",
                "Use the settings that it was made with, or choose another output=...",
                field="output",
            )

    def _remove_joined(self) -> None:
        """Remove the parts of a job that was killed after its table had got its name but before they were removed."""
        mark = self.folder / "joined.json"
        if mark.is_file() and self.path.is_file():
            if json.loads(mark.read_text())["inode"] == self.path.stat().st_ino:
                shutil.rmtree(self.folder)
            else:
                mark.unlink()

    def _all_rows(self) -> Iterator[Row]:
        """The rows of the table that an earlier job has left, then those of the parts."""
        if self.path.exists():
            yield from read_rows(self.path)
        for part in self._parts:
            yield from read_rows(part)


def _short(value: Any) -> str:
    """A setting as text; a fingerprint is cut to its first digits."""
    return f"{value[:12]}..." if isinstance(value, str) and len(value) == 64 else str(value)


def by_picture(rows: Iterable[Row]) -> Iterator[tuple[Row, ...]]:
    """Rows grouped by picture; a picture begins with face number 0, or has a single row without a face."""
    own: list[Row] = []
    for row in rows:
        if own and not row["face"]:
            yield tuple(own)
            own = []
        own.append(row)
    if own:
        yield tuple(own)


def _key(name: str, frame: int | None) -> int:
    return int.from_bytes(blake2b(f"{name}\0{frame}".encode(), digest_size=8).digest(), "little")
