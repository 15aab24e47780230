"""Estimation of the remaining time of a training."""

from __future__ import annotations

import datetime
import math
import time

import pytorch_lightning as pl

FORGET = 0.98  # per batch: about the last fifty count, so that a slow start is forgotten


class RemainingTime:
    """Estimates the time left of a fit from its batches and validations."""

    def __init__(self) -> None:
        self._last = 0.0
        self._seconds = 0.0
        self._batches = 0.0
        self._fresh = True
        self._validation = 0.0

    def start(self) -> None:
        """Start the clock."""
        self._last = time.monotonic()

    def trained(self) -> None:
        """Count a training batch; the first after a pause includes the pause and is ignored."""
        now = time.monotonic()
        if not self._fresh or self._batches == 0:
            self._seconds = self._seconds * FORGET + now - self._last
            self._batches = self._batches * FORGET + 1
        self._fresh = False
        self._last = now

    def validated(self, seconds: float) -> None:
        """Record the duration of a validation, after which the next training batch is ignored."""
        self._validation = seconds
        self._fresh = True

    def epoch_ended(self) -> None:
        """Record the end of an epoch, since the time until the next batch is not that of a step."""
        self._fresh = True

    def seconds(self, trainer: pl.Trainer) -> float:
        """The remaining seconds; nan if the end is unknown or nothing was measured yet."""
        left = self.batches(trainer)
        if self._batches == 0 or not math.isfinite(left):
            return math.nan
        validations = math.ceil(left / trainer.num_training_batches) if trainer.enable_validation else 0
        estimate = left * self._seconds / self._batches + validations * self._validation
        limits = [c.time_remaining() for c in trainer.callbacks if isinstance(c, pl.callbacks.Timer)]  # type: ignore[attr-defined]
        return max(0.0, min([estimate, *(limit for limit in limits if limit is not None)]))

    @staticmethod
    def batches(trainer: pl.Trainer) -> float:
        """The remaining training batches on this rank; infinite if the end is unknown."""
        per_epoch = trainer.num_training_batches
        progress = trainer.fit_loop.epoch_loop.batch_progress
        left = math.inf
        if trainer.max_epochs is not None and trainer.max_epochs >= 0:
            done = trainer.current_epoch * per_epoch + progress.current.ready
            left = trainer.max_epochs * per_epoch - done
        if trainer.max_steps >= 0:
            left = min(left, (trainer.max_steps - trainer.global_step) * trainer.accumulate_grad_batches)
        return max(0, left)


def clock(seconds: float) -> str:
    """Format seconds as `1:02:03`; not finite ones as `-`."""
    return str(datetime.timedelta(seconds=round(seconds))) if math.isfinite(seconds) else "-"
