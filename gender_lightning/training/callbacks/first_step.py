"""The time of the first training step, to measure startup time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytorch_lightning as pl

from gender_lightning.runs import Run


class FirstStep(pl.Callback):
    """Writes `first_step`, UTC to the millisecond, into `run.json`.

    Args:
        run: The run to write to.
    """

    def __init__(self, run: Run) -> None:
        self._run: Run | None = run

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Record the time when the first batch has arrived."""
        if self._run is not None:
            self._run.update(first_step=datetime.now(UTC).isoformat(timespec="milliseconds"))
            self._run = None
