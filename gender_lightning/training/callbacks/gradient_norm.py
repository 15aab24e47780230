"""The norm of the gradients on dashboards."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from torch.optim import Optimizer


class GradientNorm(pl.Callback):
    """Logs the norm of all gradients before they are clipped as `train/gradient_norm`, every few optimizer steps.

    It stays on the device until Lightning reads the loss of the same step, so that nothing waits for it twice. With
    `16-mixed` it is left out: an optimizer that undoes the scaling itself has scaled gradients at this point. Where
    several devices train beside a frozen backbone, the gradients that the step leaves out are part of it.

    Args:
        every: Optimizer steps from one value to the next, `trainer.log_every_n_steps`.
    """

    def __init__(self, every: int) -> None:
        self._every = every

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        """Take the norm in the steps after which Lightning logs."""
        if (trainer.global_step + 1) % self._every or getattr(trainer.precision_plugin, "scaler", None) is not None:
            return
        parameters: list[Any] = [one for group in optimizer.param_groups for one in group["params"]]
        gradients = [one.grad for one in parameters if one.grad is not None]
        pl_module.log("train/gradient_norm", torch.nn.utils.get_total_norm(gradients), on_step=True, on_epoch=False)
