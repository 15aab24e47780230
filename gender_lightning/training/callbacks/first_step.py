"""When the first training step began and ended: what lies between is mostly compilation, where there is any."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytorch_lightning as pl

from gender_lightning.runs import Run


class FirstStep(pl.Callback):
    """Writes `first_batch` and `first_step`, UTC to the millisecond, into `run.json` after the first training step.

    The first says when the first batch had arrived, which ends the start-up; the second, when the host was done with
    that batch: forward, backward, and the optimizer's step unless gradients are accumulated over several batches.

    Args:
        run: The run to write to.
    """

    def __init__(self, run: Run) -> None:
        self._run: Run | None = run
        self._begun: str | None = None

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Remember when the first batch has arrived; nothing is written now, which would delay the step."""
        self._begun = self._begun or _now()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write both times."""
        if self._run is not None:
            self._run.update(first_batch=self._begun, first_step=_now())
            self._run = None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
