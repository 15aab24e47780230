"""What is expensive to make is made by one worker of the tests, and read by all."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def built_once(name: str, build: Callable[[Path], object], factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A directory that one worker fills and all of them read."""
    if worker_id == "master":
        place = factory.mktemp(name)
        build(place)
        return place
    place = factory.getbasetemp().parent / name
    whole = place.with_suffix(".whole")
    with FileLock(place.with_suffix(".lock")):
        if not whole.exists():
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            build(place)
            whole.touch()
    return place
