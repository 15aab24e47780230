"""Paths of a training that hold in any working directory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from gender_lightning.config import Distill, TrainConfig


def with_absolute_paths(config: TrainConfig, values: dict[str, Any]) -> tuple[TrainConfig, dict[str, Any]]:
    """The configuration with absolute paths, so that a resume may start from another directory.

    Args:
        config: The configuration, parsed from `values`.
        values: The content of config.yaml.
    """
    data: dict[str, Any] = {"root": _absolute(config.data.root)}
    for name in ("cache", "exclude", "corrections", "attributes"):
        if (path := getattr(config.data, name)) is not None:
            data[name] = _absolute(path)
    pretrained = config.model.pretrained
    model: dict[str, Any] = {"pretrained": _absolute(pretrained) if isinstance(pretrained, str) else pretrained}
    loss = {"teacher": [_absolute(path) for path in config.loss.teacher]} if isinstance(config.loss, Distill) else {}
    changes = {"data": data, "model": model, "loss": loss}
    sections = {name: getattr(config, name).model_copy(update=change) for name, change in changes.items()}
    return config.model_copy(update=sections), {
        **values, **{name: {**values[name], **change} for name, change in changes.items()}
    }  # fmt: skip


def _absolute(path: str) -> str:
    return str(Path(os.path.expanduser(path)).absolute())
