"""What a checkpoint remembers of its valid split, beside its weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gender_lightning.models.checkpoint import VALID
from gender_lightning.models.files import checkpoint_file, read_torch_file


def read_valid(path: Path) -> Mapping[str, Any]:
    """What a checkpoint remembers of its valid split, as written by `update_spec`; empty if it remembers nothing."""
    found = read_torch_file(checkpoint_file(path)).get(VALID)
    return found if isinstance(found, dict) else {}
