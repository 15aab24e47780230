"""How long a training will still take."""

from __future__ import annotations

import datetime
import math
import time

import pytorch_lightning as pl

FORGET = 0.98  # per batch: the last fifty or so count, so that a slow start is forgotten


class RemainingTime:
    """Estimates the time left of a fit from its batches and validations."""

    def __init__(self) -> None:
        self._last = 0.0
        self._seconds = 0.0
        self._batches = 0.0
        self._fresh = True
        self._validation = 0.0

    def start(self) -> None:
        """Starts the clock."""
        self._last = time.monotonic()

    def trained(self) -> None:
        """Counts a training batch; the first after a pause carries that pause and is left out."""
        now = time.monotonic()
        if not self._fresh or self._batches == 0:
            self._seconds = self._seconds * FORGET + now - self._last
            self._batches = self._batches * FORGET + 1
        self._fresh = False
        self._last = now

    def validated(self, seconds: float) -> None:
        """Notes how long a validation took; the next training batch starts a new stretch."""
        self._validation = seconds
        self._fresh = True

    def epoch_ended(self) -> None:
        """Notes that the time until the next batch is not a step's."""
        self._fresh = True

    def seconds(self, trainer: pl.Trainer) -> float:
        """Seconds left, nan where the end is unknown or nothing was measured."""
        left = self.batches(trainer)
        if self._batches == 0 or not math.isfinite(left):
            return math.nan
        validations = math.ceil(left / trainer.num_training_batches) if trainer.enable_validation else 0
        estimate = left * self._seconds / self._batches + validations * self._validation
        limits = [c.time_remaining() for c in trainer.callbacks if isinstance(c, pl.callbacks.Timer)]  # type: ignore[attr-defined]
        return max(0.0, min([estimate, *(limit for limit in limits if limit is not None)]))

    @staticmethod
    def batches(trainer: pl.Trainer) -> float:
        """Training batches that are left on this rank, infinite where the end is unknown."""
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
    """`1:02:03`, or `-` where it is unknown."""
    return str(datetime.timedelta(seconds=round(seconds))) if math.isfinite(seconds) else "-"
