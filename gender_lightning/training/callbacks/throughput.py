"""Training throughput in images per second, measured with the host clock."""

from __future__ import annotations

import math
import time
from typing import Any

import pytorch_lightning as pl
import torch


class Throughput(pl.Callback):
    """Counts the training images of all ranks per second, including waits for data, excluding validation.

    The device is synchronised at the end of an epoch's training and of a validation, and never between steps. Logs
    `images_per_second` for each epoch.

    Args:
        horizon: Time constant in seconds of the exponential decay of `recent`.
    """

    def __init__(self, horizon: float = 20.0) -> None:
        self._horizon = horizon
        self._images = 0
        self._seconds = 0.0
        self._mark: float | None = None  # start of the current stretch of training
        self._counted: float = 0.0  # time up to which `recent` has counted
        self._recent_images = 0.0
        self._recent_seconds = 0.0
        self._validated = 0
        self._validation: tuple[float, float] = (math.nan, math.nan)  # start and end of the last one

    @property
    def images_per_second(self) -> float:
        """The throughput of this epoch up to its last pause, over all ranks; nan before the first."""
        return self._images / self._seconds if self._seconds > 0 else math.nan

    @property
    def recent(self) -> float:
        """The throughput of the last seconds, over all ranks, for a display; nan before the first step."""
        return self._recent_images / self._recent_seconds if self._recent_seconds > 0 else math.nan

    @property
    def validation_images_per_second(self) -> float:
        """The throughput of the last validation, metrics included, over all ranks; nan before the first has ended."""
        start, end = self._validation
        return self._validated / (end - start) if end > start else math.nan

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the count of the epoch before its first batch is fetched."""
        self._images, self._seconds = 0, 0.0
        self._mark = self._counted = _now()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Continue after a validation in the middle of an epoch."""
        if self._mark is None:
            self._mark = self._counted = _now()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the batch."""
        images = len(batch[0]) * trainer.world_size
        self._images += images
        now = _now()
        passed = now - self._counted
        self._counted = now
        fade = math.exp(-passed / self._horizon)
        self._recent_images = self._recent_images * fade + images
        self._recent_seconds = self._recent_seconds * fade + passed

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop the clock of the training, and start that of the validation."""
        self._pause(pl_module)
        self._validated, self._validation = 0, (_now(), math.nan)

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Count the batch."""
        self._validated += len(batch[0]) * trainer.world_size

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop the clock of the validation."""
        _wait(pl_module)
        self._validation = (self._validation[0], _now())

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop the clock and log the throughput of the epoch."""
        self._pause(pl_module)
        if self._seconds > 0:
            distributed = trainer.world_size > 1
            pl_module.log("images_per_second", self.images_per_second, sync_dist=distributed, batch_size=1)

    def _pause(self, pl_module: pl.LightningModule) -> None:
        if self._mark is None:
            return
        _wait(pl_module)
        self._seconds += _now() - self._mark
        self._mark = None


def _wait(pl_module: pl.LightningModule) -> None:
    if pl_module.device.type == "cuda":
        torch.cuda.synchronize(pl_module.device)


def _now() -> float:
    return time.perf_counter()
