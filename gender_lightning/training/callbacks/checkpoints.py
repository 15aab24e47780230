"""Saving of `best.ckpt`, the weights to use, and `last.ckpt`, the state to resume from."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
from torch import Tensor, nn

from gender_lightning.errors import UserError
from gender_lightning.interruption import Interrupted, Interruption
from gender_lightning.models.checkpoints.checkpoint import ModelSpec, save_weights
from gender_lightning.models.checkpoints.files import write_torch_file
from gender_lightning.training.agreement import Agreement
from gender_lightning.training.background import BackgroundWriter, on_host
from gender_lightning.training.callbacks.ema import Ema
from gender_lightning.training.callbacks.finite_loss import FiniteLoss
from gender_lightning.training.checkpoint_files import WholeFiles, rotate, still_there
from gender_lightning.training.ranks import OtherRankFailed

TIE_BREAKER = "val/loss"
_LOOK_EVERY = 8  # validation batches between checks for a signal with several ranks, which have to agree
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rhythm:
    """When to write last.ckpt within an epoch, in addition to the end of each epoch.

    Attributes:
        steps: Interval in optimizer steps, counted over the whole training; None for never.
        minutes: Interval in minutes since the last save; None for never.
    """

    steps: int | None = None
    minutes: float | None = None


class Checkpoints(pl.callbacks.Checkpoint):
    """Saves at the end of each epoch, after validation, schedulers and all other callbacks, and within epochs.

    Lightning runs callbacks of this base class after all others, whatever their order in the list. The best
    epoch has the best monitored metric; ties are broken by the lower `val/loss`, then by the later epoch.
    Without a validation the last epoch is the best. Where the images grow during the training (progressive resizing),
    the first epoch at a new size replaces the best of the smaller size. All files are written atomically;
    `previous.ckpt` is the former `last.ckpt`. They are written in a thread, from a copy in the host's memory, while the
    training continues: `best.ckpt` before the `last.ckpt` of the same epoch, and both before those of the next. A
    failure to write ends the training at the next batch. When the fit ends, for whatever reason, the files are written.

    During a fit, this callback handles signals that request an end: after the current optimizer step (with several
    ranks the next one) or validation batch it writes last.ckpt and raises `Interrupted`, at the same point on all
    ranks.

    Args:
        directory: Directory of the files; created if needed.
        monitor: A metric that validation logs.
        mode: Whether the metric is to be maximised or minimised.
        ema: The callback whose average was validated, if there is one.
        rhythm: When to save within an epoch.
        interruption: The signal handling of this program.
        finite: Tells before each save whether all losses so far were finite.
        resumed_from: The checkpoint from which the training is resumed, if it is.
    """

    def __init__(
        self,
        directory: Path,
        *,
        monitor: str = "val/accuracy",
        mode: Literal["min", "max"] = "max",
        ema: Ema | None = None,
        rhythm: Rhythm | None = None,
        interruption: Interruption | None = None,
        finite: FiniteLoss | None = None,
        resumed_from: Path | None = None,
    ) -> None:
        self.best_path = directory / "best.ckpt"
        self.last_path = directory / "last.ckpt"
        self.previous_path = directory / "previous.ckpt"
        self.best_score: float | None = None
        self.best_epoch: int | None = None
        self.monitor = monitor
        self._mode = mode
        self._ema = ema
        self._rhythm = rhythm or Rhythm()
        self._interruption = interruption or Interruption()
        self._finite = finite
        self._spares_previous = resumed_from == self.previous_path  # last.ckpt is the damaged one
        self._agreement = Agreement()
        self._writer = BackgroundWriter()
        self._best_loss = math.nan
        self._best_size: int | None = None  # of the images, while they are smaller than the full size
        self._validated = False
        self._seen_step = 0
        self._saved = 0.0
        self._unvalidated = False

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Create the directory, so that a directory that is not writable is reported at once."""
        if stage == "fit" and trainer.is_global_zero:
            self.best_path.parent.mkdir(parents=True, exist_ok=True)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take over the handling of signals."""
        self._agreement.start(trainer.world_size)
        self._seen_step, self._saved = trainer.global_step, time.monotonic()
        self._interruption.defers = True
        validation = trainer.fit_loop.epoch_loop.val_loop
        if validation.restarted_mid_evaluation:
            validation.batch_progress.total.reset()  # the counts that `on_save_checkpoint` had to set for Lightning

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save after an optimizer step if a save is due, but never in the middle of a gradient accumulation."""
        self._writer.check()
        stepped, self._seen_step = trainer.global_step > self._seen_step, trainer.global_step
        if not stepped or trainer.is_last_batch or _steps_are_done(trainer):  # the end of the epoch follows
            return
        alone = trainer.world_size == 1
        if alone:
            self._agreement.ask(*self._wishes())
        number, waited_long = self._agreement.answer() or (0, 0)  # with several ranks, of the step before
        if number or waited_long or self._is_step_due(trainer):
            self._save_last(trainer)
        if number:
            self._stop(trainer, number)
        if not alone:
            self._agreement.ask(*self._wishes())

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check for a signal before a validation."""
        self._look_in_validation(trainer, pl_module)

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Check for a signal."""
        if trainer.world_size == 1 or (batch_idx + 1) % _LOOK_EVERY == 0:
            self._look_in_validation(trainer, pl_module)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Record that this epoch has a score."""
        self._validated = not trainer.sanity_checking

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write best.ckpt if this epoch is the best, and last.ckpt in any case."""
        self._check_losses()
        best = self._best_of(pl_module) if self._is_best(trainer, pl_module) and trainer.is_global_zero else None
        self._validated = False
        self._save_last(trainer, best)
        number, _ = self._agreement.now(*self._wishes())
        if number:
            self._stop(trainer, number)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Wait until rank 0 has written, since every rank may read now, and check for a signal a last time."""
        self._interruption.defers = False
        self._writer.wait()
        trainer.strategy.barrier("checkpoints")
        number, _ = self._agreement.now(*self._wishes())
        if number:
            self._stop(trainer, number)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Stop deferring signals, since they are no longer checked, and wait until the files are written."""
        self._interruption.defers = False
        try:
            self._writer.wait()
        except (UserError, OSError) as error:  # the first of the two errors is the one to report
            log.warning("%s", error)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Make an interrupted validation start over on resume; Lightning would continue in the middle of it."""
        if self._unvalidated:
            progress = checkpoint["loops"]["fit_loop"]["epoch_loop.val_loop.batch_progress"]
            for counts in (progress["total"], progress["current"]):
                counts.update(ready=1, started=1, processed=0, completed=0)
            progress["is_last_batch"] = False

    def state_dict(self) -> dict[str, Any]:
        """Return score, tie-breaking loss, image size and epoch of best.ckpt."""
        return {
            "best_score": self.best_score, "best_loss": self._best_loss, "best_size": self._best_size,
            "best_epoch": self.best_epoch,
        }  # fmt: skip

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the score to beat."""
        self.best_score = state_dict["best_score"]
        self._best_loss = state_dict["best_loss"]
        self._best_size = state_dict.get("best_size")
        self.best_epoch = state_dict["best_epoch"]

    def _is_best(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> bool:
        if not self._validated:
            # an epoch between two validations, unless there is never one
            if trainer.enable_validation and self.best_score is not None:
                return False
            self.best_epoch = trainer.current_epoch
            return True
        score, loss = self._scores(trainer)
        size, before = getattr(pl_module, "image_size", None), self._best_size
        self._best_size = size
        if size == before and self.best_score is not None and not self._beats(score, loss):
            return False
        self.best_score, self._best_loss, self.best_epoch = score, loss, trainer.current_epoch
        return True

    def _scores(self, trainer: pl.Trainer) -> tuple[float, float]:
        metrics = trainer.callback_metrics
        if self.monitor not in metrics:
            known = ", ".join(sorted(name for name in metrics if name.startswith("val/")))
            raise UserError(
                f"callbacks.checkpoint.monitor={self.monitor} is not measured.",
                f"Choose one of {known}.",
                field="callbacks.checkpoint.monitor",
            )
        return float(metrics[self.monitor]), float(metrics.get(TIE_BREAKER, math.nan))

    def _beats(self, score: float, loss: float) -> bool:
        assert self.best_score is not None
        if math.isnan(score) or math.isnan(self.best_score):
            return math.isnan(self.best_score)
        if score != self.best_score:
            return (score > self.best_score) == (self._mode == "max")
        return not loss > self._best_loss  # equal or unknown: the later epoch

    def _best_of(self, pl_module: pl.LightningModule) -> Callable[[], None]:
        """A function that writes the present weights to best.ckpt."""
        net, spec = pl_module.net, pl_module.spec
        assert isinstance(net, nn.Module)
        assert isinstance(spec, ModelSpec)
        state: dict[str, Tensor] = dict(net.state_dict()) if self._ema is None else self._ema.net_state(net)
        return partial(save_weights, self.best_path, on_host(state), spec)

    def _look_in_validation(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn != "fit" or trainer.sanity_checking or _steps_are_done(trainer):
            return
        self._writer.check()
        number, _ = self._agreement.now(*self._wishes())
        if not number:
            return
        if self._ema is not None:
            self._ema.on_validation_end(trainer, pl_module)  # restores the network's own weights
        self._unvalidated = True
        self._save_last(trainer)
        self._stop(trainer, number)

    def _is_step_due(self, trainer: pl.Trainer) -> bool:
        steps = self._rhythm.steps
        return steps is not None and trainer.global_step % steps == 0

    def _wishes(self) -> tuple[int, int]:
        """The number of a signal that this rank has received, and whether it has waited long enough for a save."""
        minutes = self._rhythm.minutes
        return self._interruption.number, minutes is not None and time.monotonic() - self._saved >= 60 * minutes

    def _stop(self, trainer: pl.Trainer, number: int) -> None:
        stop = Interrupted(number)
        self._writer.wait()
        if trainer.is_global_zero:
            log.info(
                "%s: stopped in epoch %d after step %d. Continue with train resume=%s",
                stop.name, trainer.current_epoch + 1, trainer.global_step, self.last_path.parent.parent,
            )  # fmt: skip
        raise stop

    def _check_losses(self) -> None:
        """Stop all ranks if one has had a non-finite loss, since its gradient has reached all of them."""
        found = None if self._finite is None else self._finite.find()
        (bad,) = self._agreement.now(int(found is not None))
        if found is not None:
            raise found
        if bad:
            raise OtherRankFailed

    def _save_last(self, trainer: pl.Trainer, best: Callable[[], None] | None = None) -> None:
        """Copy the state of the training to the host, and let it be written to last.ckpt, after `best`."""
        self._check_losses()
        files = trainer.strategy.checkpoint_io
        assert isinstance(files, WholeFiles)
        previous = None if self._spares_previous else self.previous_path
        with files.taking() as taken:
            trainer.save_checkpoint(self.last_path)
        for content in taken:
            self._writer.start(partial(self._write, on_host(content), previous, best))
        self._spares_previous = False
        self._saved = time.monotonic()

    def _write(self, content: dict[str, Any], previous: Path | None, best: Callable[[], None] | None) -> None:
        fresh = self.last_path.with_name(f".{self.last_path.name}.fresh")
        with still_there(self.last_path.parent):
            try:
                if best is not None:
                    best()
                write_torch_file(fresh, content)  # not through Lightning's plugin, which the main thread may be using
                rotate(fresh, self.last_path, previous)
            finally:
                fresh.unlink(missing_ok=True)


def _steps_are_done(trainer: pl.Trainer) -> bool:
    """Whether `trainer.max_steps` is reached: what is saved now must have its validation and the end of its epoch.

    A resume would do neither, since Lightning takes a training with all its steps for finished.
    """
    return trainer.global_step == trainer.max_steps
