"""Images per second of training, measured on the host's clock."""

from __future__ import annotations

import math
import time
from typing import Any

import pytorch_lightning as pl
import torch


class Throughput(pl.Callback):
    """Counts the training images of all ranks per second, waiting for data included, validation not.

    The device is waited for once, when an epoch's training ends, and never between steps. Logs
    `images_per_second` for each epoch.

    Args:
        horizon: Seconds over which `recent` forgets.
    """

    def __init__(self, horizon: float = 20.0) -> None:
        self._horizon = horizon
        self._images = 0
        self._seconds = 0.0
        self._mark: float | None = None  # since when the open stretch of training runs
        self._counted: float = 0.0  # what of it `recent` has seen
        self._recent_images = 0.0
        self._recent_seconds = 0.0

    @property
    def images_per_second(self) -> float:
        """Of this epoch up to its last pause, nan before; all ranks together."""
        return self._images / self._seconds if self._seconds > 0 else math.nan

    @property
    def recent(self) -> float:
        """Of the last seconds, for a display; all ranks together, nan before the first step."""
        return self._recent_images / self._recent_seconds if self._recent_seconds > 0 else math.nan

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the epoch's count, before its first batch is fetched."""
        self._images, self._seconds = 0, 0.0
        self._mark = self._counted = _now()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Goes on after a validation in the middle of an epoch."""
        if self._mark is None:
            self._mark = self._counted = _now()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Counts the batch."""
        images = len(batch[0]) * trainer.world_size
        self._images += images
        now = _now()
        passed = now - self._counted
        self._counted = now
        fade = math.exp(-passed / self._horizon)
        self._recent_images = self._recent_images * fade + images
        self._recent_seconds = self._recent_seconds * fade + passed

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stops the clock."""
        self._pause(pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stops the clock and logs the epoch's figure."""
        self._pause(pl_module)
        if self._seconds > 0:
            distributed = trainer.world_size > 1
            pl_module.log("images_per_second", self.images_per_second, sync_dist=distributed, batch_size=1)

    def _pause(self, pl_module: pl.LightningModule) -> None:
        if self._mark is None:
            return
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize(pl_module.device)
        self._seconds += _now() - self._mark
        self._mark = None


def _now() -> float:
    return time.perf_counter()
