"""Paths of a training that hold in any working directory, and names of checkpoints that always mean the same file."""

from __future__ import annotations

from typing import Any

from gender_lightning.config import Distill, TrainConfig
from gender_lightning.models.checkpoints.remote import is_remote, pinned
from gender_lightning.overrides.paths import absolute


def with_absolute_paths(config: TrainConfig, values: dict[str, Any]) -> tuple[TrainConfig, dict[str, Any]]:
    """The configuration with absolute paths and fixed revisions, so that a resume elsewhere and later finds the same.

    Args:
        config: The configuration, parsed from `values`.
        values: The content of config.yaml.
    """
    data: dict[str, Any] = {"root": absolute(config.data.root)}
    for name in ("cache", "exclude", "corrections", "attributes"):
        if (path := getattr(config.data, name)) is not None:
            data[name] = absolute(path)
    pretrained = config.model.pretrained
    model: dict[str, Any] = {"pretrained": _fixed(pretrained) if isinstance(pretrained, str) else pretrained}
    loss = {"teacher": [_fixed(path) for path in config.loss.teacher]} if isinstance(config.loss, Distill) else {}
    changes = {"data": data, "model": model, "loss": loss}
    sections = {name: getattr(config, name).model_copy(update=change) for name, change in changes.items()}
    return config.model_copy(update=sections), {
        **values, **{name: {**values[name], **change} for name, change in changes.items()}
    }  # fmt: skip


def _fixed(checkpoint: str) -> str:
    return pinned(checkpoint) if is_remote(checkpoint) else absolute(checkpoint)
