"""The parsed label files, kept between runs: one file per set of sources, replaced when a source changes."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gender_lightning.durable import writing

log = logging.getLogger(__name__)

# What the readers of numpy, zipfile and zlib raise for a damaged or foreign file.
UNREADABLE = (
    OSError, ValueError, LookupError, EOFError, TypeError, AttributeError, RuntimeError, MemoryError, SyntaxError,
    OverflowError, struct.error, zlib.error, tokenize.TokenError, zipfile.BadZipFile,
)  # fmt: skip
VERSION = 1  # of the format: raise it when Index or its meaning changes


def load(sources: Mapping[str, Path], cache_dir: Path | None) -> dict[str, Any] | None:
    """The columns cached for these sources, or None when there are none, or stale or damaged ones."""
    path = _path(sources, cache_dir)
    try:
        if not path.is_file():  # nothing, or something that would block, such as a named pipe
            return None
        _check_stored(path)
        with np.load(path, allow_pickle=False) as file:
            if str(file["stamp"]) != _stamp(sources):
                return None
            columns: dict[str, Any] = {key: file[key] for key in file.files if key != "stamp"}
            names = tuple(str(name) for name in columns.pop("attribute_names"))
            bits = np.unpackbits(columns["attributes"], axis=1, count=len(names))
            columns["attributes"] = bits.view(np.bool_)
    except UNREADABLE as error:
        log.info("The cached index %s is unreadable (%s): reading the label files again.", path, error)
        return None
    columns["attribute_names"] = names
    return columns


def _check_stored(path: Path) -> None:
    """Refuse a file that unpacks to more than it is: ours is not compressed."""
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > path.stat().st_size:
        raise ValueError("it is packed")


def save(sources: Mapping[str, Path], cache_dir: Path | None, columns: Mapping[str, Any]) -> None:
    """Cache the columns; where the folder cannot be written, the only cost is to parse the files again next time."""
    path = _path(sources, cache_dir)
    arrays = {key: value for key, value in columns.items() if value is not None}
    arrays["attributes"] = np.packbits(columns["attributes"], axis=1)
    arrays["attribute_names"] = np.array(columns["attribute_names"], dtype=np.str_)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with writing(path, "wb") as file:  # readers see the old index or the new one, never half of one
            np.savez(file, stamp=np.array(_stamp(sources)), **arrays)
    except OSError as error:
        log.info("The index cannot be cached in %s: %s.", path.parent, error)


def _path(sources: Mapping[str, Path], cache_dir: Path | None) -> Path:
    if cache_dir is None:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        cache_dir = Path(base) / "gender_lightning"
    paths = json.dumps({name: os.path.abspath(path) for name, path in sources.items()}, sort_keys=True)
    return cache_dir / f"index-{hashlib.sha256(paths.encode()).hexdigest()[:16]}.npz"


def _stamp(sources: Mapping[str, Path]) -> str:
    states = {name: (path.stat().st_size, path.stat().st_mtime_ns) for name, path in sources.items()}
    return json.dumps({"version": VERSION, "sources": states}, sort_keys=True)
