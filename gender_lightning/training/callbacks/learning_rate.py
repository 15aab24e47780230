"""The learning rate on dashboards, as one number."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl


class LearningRate(pl.Callback):
    """Logs the learning rate as `lr`, every few optimizer steps.

    It is the highest of the parameter groups, which all follow one schedule, as in `metrics.csv`. Lightning's own
    monitor makes a chart for each group (`lr-AdamW/pg1`).

    Args:
        every: Optimizer steps from one value to the next, `trainer.log_every_n_steps`.
    """

    def __init__(self, every: int) -> None:
        self._every = every

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Log the rate of this step; with accumulated gradients once, before the first of its batches."""
        step = trainer.global_step
        first = batch_idx % trainer.accumulate_grad_batches == 0
        if first and (step + 1) % self._every == 0:  # Lightning logs losses after the same steps
            rate = max(float(group["lr"]) for optimizer in trainer.optimizers for group in optimizer.param_groups)
            for logger in trainer.loggers:
                logger.log_metrics({"lr": rate}, step)
