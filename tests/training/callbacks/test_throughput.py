"""Images per second count training alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
from toy_training import BATCH_SIZE, BATCHES, fit

from gender_lightning.training.callbacks import throughput as module
from gender_lightning.training.callbacks.throughput import Throughput


class Clock(pl.Callback):
    """Lets a step take a second and a validation batch a hundred."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(module, "_now", lambda: self.now)

    def on_before_backward(self, *args: Any) -> None:
        self.now += 1

    def on_validation_batch_end(self, *args: Any) -> None:
        self.now += 100


@pytest.mark.parametrize("interval", [1.0, 2])
def test_validation_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interval: float) -> None:
    done = fit(tmp_path, epochs=2, extra=[Clock(monkeypatch)], val_check_interval=interval)
    throughput = next(c for c in done.trainer.callbacks if isinstance(c, Throughput))  # type: ignore[attr-defined]
    assert throughput.images_per_second == pytest.approx(BATCH_SIZE)
    assert float(done.trainer.callback_metrics["images_per_second"]) == pytest.approx(BATCH_SIZE)
    assert throughput.validation_images_per_second == pytest.approx(BATCH_SIZE / 100)
    assert throughput.recent == pytest.approx(BATCH_SIZE, rel=0.01)
    assert BATCHES == 5
