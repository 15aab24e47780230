"""What a checkpoint remembers of its valid split, beside its weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from gender_lightning.models.checkpoints.checkpoint import VALID
from gender_lightning.models.checkpoints.files import checkpoint_file, read_torch_file


def read_valid(path: Path) -> Mapping[str, Any]:
    """What a checkpoint remembers of its valid split, as written by `update_spec`; empty if it remembers nothing."""
    # mapped, since the weights beside it, hundreds of megabytes, are of no use here
    found = read_torch_file(checkpoint_file(path), mapped=True).get(VALID)
    if not isinstance(found, dict):
        return {}
    return {name: value.clone() if isinstance(value, Tensor) else value for name, value in found.items()}
