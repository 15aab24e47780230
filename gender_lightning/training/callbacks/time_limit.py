"""The end of a training after a given time, without waiting for a device to agree on it."""

from __future__ import annotations

import logging
from typing import Any

import pytorch_lightning as pl

from gender_lightning.training.agreement import Agreement

log = logging.getLogger(__name__)


class TimeLimit(pl.callbacks.Timer):
    """Ends a training once its steps and validations have taken `trainer.max_time`, at the same batch on all ranks.

    Lightning's own timer, which `Trainer(max_time=...)` adds, broadcasts after every batch whether the time is up, for
    which the host waits for the GPU twice. Here the hosts exchange it in the background, so that several ranks end a
    batch later.

    Args:
        duration: The time limit, as DD:HH:MM:SS; a resumed training continues with what is left of it.
    """

    def __init__(self, duration: str) -> None:
        super().__init__(duration, interval="step")
        self._agreement = Agreement()

    @property
    def state_key(self) -> str:
        """Lightning's name, under which checkpoints have always had the time that has passed."""
        return pl.callbacks.Timer.__qualname__

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        super().on_train_start(trainer, pl_module)
        self._agreement.start(trainer.world_size)

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any, **kwargs: Any) -> None:
        """End the training if the time was up on any rank, with several ranks after the batch before."""
        left = self.time_remaining()
        is_over = int(left is not None and left <= 0)
        if trainer.world_size == 1 or trainer.is_last_batch:  # else a stop in the next epoch would leave it one batch
            (ended,) = self._agreement.now(is_over)
        else:
            (ended,) = self._agreement.answer() or (0,)
            self._agreement.ask(is_over)
        if ended and not trainer.should_stop:
            trainer.should_stop = True
            if trainer.is_global_zero:
                log.info("trainer.max_time has passed: the training ends.")
