"""A function of the package leaves the process that calls it as it was."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

OURS = ("GENDER_LIGHTNING", "PL_", "LOCAL_RANK", "RANK", "WORLD_SIZE", "MASTER_")  # libraries set others


def state() -> dict[str, Any]:
    """What a command changes for the whole process."""
    root = logging.getLogger()
    return {
        "argv": list(sys.argv),
        "handlers": list(root.handlers),
        "levels": [logging.getLogger(name).level for name in ("", "gender_lightning", "pytorch_lightning", "PIL")],
        "environment": {name: value for name, value in os.environ.items() if name.startswith(OURS)},
        "warnings": list(warnings.filters),
        "directory": os.getcwd(),
    }


@contextmanager
def left_as_it_was() -> Iterator[None]:
    before = state()
    yield
    after = state()
    for name, value in before.items():
        assert after[name] == value, name
