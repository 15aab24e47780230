"""The norm that is logged is that of the gradients before they are clipped, at the steps that Lightning logs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from gender_lightning.training.callbacks.gradient_norm import GradientNorm


class Recorder(pl.loggers.logger.DummyLogger):
    def __init__(self) -> None:
        super().__init__()
        self.logged: list[tuple[int, float]] = []

    def log_metrics(self, metrics: Any, step: int | None = None, **_: Any) -> None:
        if "train/gradient_norm" in metrics:
            self.logged.append((step or 0, metrics["train/gradient_norm"]))


class Line(pl.LightningModule):
    """Its gradients are known: the sum of the inputs for the weight, their number for the bias."""

    def __init__(self, accumulated: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.zeros(())), nn.Parameter(torch.zeros(()))
        self.accumulated = accumulated

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        loss: Tensor = (self.weight * batch + self.bias).sum() * self.accumulated  # Lightning divides by it
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD([{"params": [self.weight]}, {"params": [self.bias]}], lr=0.1)


@pytest.mark.parametrize(("accumulated", "clip"), [(1, None), (2, 0.5)])
def test_the_norm_is_that_before_clipping(accumulated: int, clip: float | None, tmp_path: Path) -> None:
    batches = [torch.tensor([float(number), 2.0]) for number in range(8)]
    recorder = Recorder()
    trainer = pl.Trainer(
        accelerator="cpu", devices=1, max_epochs=1, logger=recorder, callbacks=[GradientNorm(2)], log_every_n_steps=2,
        accumulate_grad_batches=accumulated, gradient_clip_val=clip, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(Line(accumulated), DataLoader(batches, batch_size=None))
    expected = []
    for step in range(1, 8 // accumulated, 2):
        own = batches[step * accumulated : (step + 1) * accumulated]
        expected.append((step, math.hypot(float(sum(batch.sum() for batch in own)), 2.0 * accumulated)))
    assert [step for step, _ in recorder.logged] == [step for step, _ in expected]
    assert [norm for _, norm in recorder.logged] == pytest.approx([norm for _, norm in expected])
