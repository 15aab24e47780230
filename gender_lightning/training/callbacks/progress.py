"""Progress display: a live bar on a terminal, and one line per epoch."""

from __future__ import annotations

import math
import time
from typing import Any

import pytorch_lightning as pl
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from torch import Tensor

from gender_lightning.console import bars, record, redraws
from gender_lightning.console import console as default_console
from gender_lightning.progress import bar_on
from gender_lightning.training.callbacks.remaining import RemainingTime, clock
from gender_lightning.training.callbacks.throughput import Throughput

REFRESH_SECONDS = 0.5
PHASES = {"sanity_check": "checking", "validate": "validating", "test": "testing", "predict": "predicting"}


class ProgressBar(pl.callbacks.ProgressBar):
    """Shows epoch, step, images/s, time left, train loss and val/accuracy, on rank 0 only.

    The loss is read from the device only when the bar is redrawn, at most twice a second. The time left is
    estimated for the whole training with its validations from the time both took so far, by the size of the images.

    Args:
        throughput: Source of images/s.
        console: Console to draw on; None for the program's own.
    """

    def __init__(self, throughput: Throughput, console: Console | None = None) -> None:
        super().__init__()
        self._throughput = throughput
        self._console = console or default_console
        self._bars = console or bars
        self._remaining = RemainingTime()
        self._enabled = True
        self._bar: Progress | None = None
        self._drawn = 0.0
        self._total: float = math.inf
        self._started = 0.0
        self._phase_started = 0.0
        self._accuracy = math.nan
        self._validated = False

    def disable(self) -> None:
        """Hide the bar; Lightning calls this on all ranks but the first."""
        self._enabled = False

    def enable(self) -> None:
        """Show the bar again."""
        self._enabled = True

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print above the bar, for `module.print`."""
        if self._enabled:
            self._console.print(*args)

    # ------------------------------------------------------------------ training

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._started = time.monotonic()
        self._remaining.start()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the bar of the epoch."""
        self._show(self._epoch_name(trainer), trainer.num_training_batches)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the batch, and redraw the bar if it is due."""
        self._remaining.trained(trainer)
        if self._is_due():
            self._draw(batch_idx + 1, self._training_text(trainer, outputs))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print the line of the epoch, above the bar if there is one."""
        self._remaining.epoch_ended()
        metrics = trainer.callback_metrics  # on every rank, since reducing them may need all
        if self._enabled:
            names = ("train/loss", "val/accuracy", "val/worst_group_accuracy", "val/loss")
            known = [name for name in names if name in metrics and (self._validated or not name.startswith("val/"))]
            shown: dict[str, float] = {name: float(metrics[name]) for name in known}
            self._say(self._epoch_line(trainer, shown))
            if "val/worst_group_accuracy" in shown and (line := getattr(pl_module, "groups_line", None)):
                self._say(f"  {line()}")
        self._validated = False

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remove the bar."""
        self._hide()

    # ------------------------------------------------------------------ evaluation

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the bar of the validation instead of the epoch's."""
        batches = trainer.num_sanity_val_batches if trainer.sanity_checking else trainer.num_val_batches
        self._start_phase(trainer, batches)

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Count the batch."""
        self._count(batch_idx)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Record val/accuracy and the duration of the validation."""
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            self._hide()
            return
        self._remaining.validated(trainer, time.monotonic() - self._phase_started)
        self._validated = True
        self._accuracy = float(trainer.callback_metrics.get("val/accuracy", math.nan))
        if not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            self._show(self._epoch_name(trainer), trainer.num_training_batches)

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the bar of the test."""
        self._start_phase(trainer, trainer.num_test_batches)

    def on_test_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Count the batch."""
        self._count(batch_idx)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remove the bar."""
        self._hide()

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the bar of the prediction."""
        self._start_phase(trainer, trainer.num_predict_batches)

    def on_predict_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Count the batch."""
        self._count(batch_idx)

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remove the bar."""
        self._hide()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Release the terminal before the error is printed."""
        self._hide()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Release the terminal."""
        self._hide()

    # ------------------------------------------------------------------ drawing

    def _start_phase(self, trainer: pl.Trainer, batches: Any) -> None:
        self._phase_started = time.monotonic()
        stage = trainer.state.stage
        assert stage is not None
        self._show(PHASES[stage.value], sum(batches))

    def _count(self, batch_idx: int) -> None:
        if self._is_due():
            done, total = batch_idx + 1, self._total
            passed = time.monotonic() - self._phase_started
            left = passed / done * (total - done) if math.isfinite(total) else math.nan
            self._draw(done, f"left {clock(left)}")

    def _is_due(self) -> bool:
        return self._bar is not None and time.monotonic() - self._drawn >= REFRESH_SECONDS

    def _show(self, name: str, total: float) -> None:
        """Start a bar, or reuse the existing one."""
        if not self._enabled or not redraws(self._bars):
            return
        if self._bar is None:
            columns = (TextColumn("{task.description}"), BarColumn(24), TextColumn("{task.fields[text]}"))
            self._bar = bar_on(self._bars, *columns, auto_refresh=False, transient=True)
            self._bar.add_task(name, text="")
            self._bar.start()
        self._total = total
        task = self._bar.task_ids[0]
        shown = total if math.isfinite(total) else None
        self._bar.reset(task, description=name, total=shown, text="", start=True)
        self._bar.refresh()

    def _draw(self, done: int, text: str) -> None:
        assert self._bar is not None
        total = str(self._total) if math.isfinite(self._total) else "?"
        self._bar.update(self._bar.task_ids[0], completed=done, text=f"{done}/{total}  {text}")
        self._bar.refresh()
        self._drawn = time.monotonic()

    def _hide(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _say(self, line: str) -> None:
        # printed above a running bar, which rich moves down on the same console
        self._console.print(line, highlight=False, markup=False)
        record.info(line)

    # ------------------------------------------------------------------ wording

    def _epoch_name(self, trainer: pl.Trainer) -> str:
        epochs = trainer.max_epochs
        return f"epoch {trainer.current_epoch + 1}/{epochs if epochs and epochs > 0 else '?'}"

    def _training_text(self, trainer: pl.Trainer, outputs: Any) -> str:
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        parts = [f"{self._throughput.recent:.0f} images/s", f"left {clock(self._remaining.seconds(trainer))}"]
        if isinstance(loss, Tensor):
            parts.append(f"loss {loss.item():.4f}")
        if not math.isnan(self._accuracy):
            parts.append(f"val/accuracy {self._accuracy:.4f}")
        return "  ".join(parts)

    def _epoch_line(self, trainer: pl.Trainer, metrics: dict[str, float]) -> str:
        parts = [self._epoch_name(trainer)]
        parts += [f"{name.removeprefix('train/')} {value:.4f}" for name, value in metrics.items()]
        parts.append(f"{self._throughput.images_per_second:.0f} images/s")
        parts.append(f"elapsed {clock(time.monotonic() - self._started)}")
        parts.append(f"left {clock(self._remaining.seconds(trainer))}")
        return "  ".join(parts)
