"""Estimation of the remaining time of a training."""

from __future__ import annotations

import datetime
import math
import time
from collections.abc import Callable

import pytorch_lightning as pl

FORGET = 0.98  # per batch: about the last fifty count, so that a slow start is forgotten


class RemainingTime:
    """Estimates the time left of a fit from its batches and validations.

    Smaller images early make the batches of the end cost more than those that were measured. A module that knows it
    says so by `step_costs`, see `GenderClassifier.step_costs`; to any other module all batches cost the same.
    """

    def __init__(self) -> None:
        self._last = 0.0
        self._seconds = 0.0
        self._cost = 0.0  # of the batches that took these seconds
        self._fresh = True
        self._validation = 0.0

    def start(self) -> None:
        """Start the clock."""
        self._last = time.monotonic()

    def trained(self, trainer: pl.Trainer) -> None:
        """Count a training batch; the first after a pause includes the pause and is ignored."""
        now = time.monotonic()
        if not self._fresh or self._cost == 0:
            self._seconds = self._seconds * FORGET + now - self._last
            self._cost = self._cost * FORGET + _costs(trainer)[0]
        self._fresh = False
        self._last = now

    def validated(self, trainer: pl.Trainer, seconds: float) -> None:
        """Record the duration of a validation, after which the next training batch is ignored."""
        self._validation = seconds / _costs(trainer)[0]
        self._fresh = True

    def epoch_ended(self) -> None:
        """Record the end of an epoch, since the time until the next batch is not that of a step."""
        self._fresh = True

    def seconds(self, trainer: pl.Trainer) -> float:
        """The remaining seconds; nan if the end is unknown or nothing was measured yet."""
        left = self.batches(trainer)
        if self._cost == 0 or not math.isfinite(left):
            return math.nan
        validations = math.ceil(left / trainer.num_training_batches) if trainer.enable_validation else 0
        estimate = (left * self._seconds / self._cost + validations * self._validation) * _costs(trainer)[1]
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


def _costs(trainer: pl.Trainer) -> tuple[float, float]:
    """Of a batch now and of the mean batch to come, as shares of one at the full size."""
    costs: Callable[[], tuple[float, float]] | None = getattr(trainer.lightning_module, "step_costs", None)
    return (1.0, 1.0) if costs is None else costs()


def clock(seconds: float) -> str:
    """Format seconds as `1:02:03`; not finite ones as `-`."""
    return str(datetime.timedelta(seconds=round(seconds))) if math.isfinite(seconds) else "-"
