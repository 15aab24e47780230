"""What a training can say of its use of the device once it has ended, for `run.json`."""

from __future__ import annotations

import math
from typing import Any

import pytorch_lightning as pl
import torch

from gender_lightning.data.resident import ResidentLoader
from gender_lightning.training.callbacks.throughput import Throughput


def measured(trainer: pl.Trainer) -> dict[str, Any]:
    """Measurements of a fit that has just ended; each is absent where there is nothing to say.

    Args:
        trainer: The trainer, before it evaluates anything else.

    Returns:
        `validation_images_per_second`, of the last validation; `peak_gpu_bytes`, the most memory that this process has
        had in tensors on its GPU; `resident`, with `data.resident`, whether epochs came from the device's memory.
    """
    found: dict[str, Any] = {}
    rates = [one.validation_images_per_second for one in trainer.callbacks if isinstance(one, Throughput)]  # type: ignore[attr-defined]
    if rates and math.isfinite(rates[0]):
        found["validation_images_per_second"] = round(rates[0], 1)
    device = trainer.strategy.root_device
    if device.type == "cuda":
        found["peak_gpu_bytes"] = torch.cuda.max_memory_allocated(device)
    if isinstance(trainer.train_dataloader, ResidentLoader):
        found["resident"] = trainer.train_dataloader.is_complete
    return found
