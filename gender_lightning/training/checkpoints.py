"""Keeps `best.ckpt`, the weights to use, and `last.ckpt`, the training to go on with."""

from __future__ import annotations

import errno
import math
import os
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
from torch import Tensor, nn

from gender_lightning.errors import UserError
from gender_lightning.models.checkpoint import ModelSpec, save_weights
from gender_lightning.training.ema import Ema

TIE_BREAKER = "val/loss"


class Checkpoints(pl.callbacks.Checkpoint):
    """Saves at the end of each epoch, when validation, schedulers and all other callbacks are done.

    Lightning runs callbacks of this base class after all others, whatever their order in the list. The best
    epoch is that of the best monitored metric; of equal ones that of the lower `val/loss`, then the later.
    Without a validation the last epoch is the best. Both files appear whole or not at all.

    Args:
        directory: Where the two files go; created when needed.
        monitor: A metric that validation logs.
        mode: Whether the metric shall be high or low.
        ema: The callback whose average was validated, if there is one.
    """

    def __init__(
        self,
        directory: Path,
        *,
        monitor: str = "val/accuracy",
        mode: Literal["min", "max"] = "max",
        ema: Ema | None = None,
    ) -> None:
        self.best_path = directory / "best.ckpt"
        self.last_path = directory / "last.ckpt"
        self.best_score: float | None = None
        self.best_epoch: int | None = None
        self.monitor = monitor
        self._mode = mode
        self._ema = ema
        self._best_loss = math.nan
        self._validated = False

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Creates the directory, so that a place that cannot be written to is told at once."""
        if stage == "fit" and trainer.is_global_zero:
            self.best_path.parent.mkdir(parents=True, exist_ok=True)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Notes that this epoch has a score."""
        self._validated = not trainer.sanity_checking

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes best.ckpt where this epoch is the best, and last.ckpt always."""
        if self._is_best(trainer) and trainer.is_global_zero:
            self._save_best(pl_module)
        self._validated = False
        self._save_last(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Waits until rank 0 has written, since every rank may read now."""
        trainer.strategy.barrier("checkpoints")

    def state_dict(self) -> dict[str, Any]:
        """Score, tie-breaking loss and epoch of best.ckpt."""
        return {"best_score": self.best_score, "best_loss": self._best_loss, "best_epoch": self.best_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on with the score to beat."""
        self.best_score = state_dict["best_score"]
        self._best_loss = state_dict["best_loss"]
        self.best_epoch = state_dict["best_epoch"]

    def _is_best(self, trainer: pl.Trainer) -> bool:
        if not self._validated:
            # an epoch between two validations, unless there is never one
            if trainer.enable_validation and self.best_score is not None:
                return False
            self.best_epoch = trainer.current_epoch
            return True
        score, loss = self._scores(trainer)
        if self.best_score is not None and not self._beats(score, loss):
            return False
        self.best_score, self._best_loss, self.best_epoch = score, loss, trainer.current_epoch
        return True

    def _scores(self, trainer: pl.Trainer) -> tuple[float, float]:
        metrics = trainer.callback_metrics
        if self.monitor not in metrics:
            known = ", ".join(sorted(name for name in metrics if name.startswith("val/")))
            raise UserError(f"callbacks.checkpoint.monitor={self.monitor} is not measured. Choose one of {known}.")
        return float(metrics[self.monitor]), float(metrics.get(TIE_BREAKER, math.nan))

    def _beats(self, score: float, loss: float) -> bool:
        assert self.best_score is not None
        if math.isnan(score) or math.isnan(self.best_score):
            return math.isnan(self.best_score)
        if score != self.best_score:
            return (score > self.best_score) == (self._mode == "max")
        return not loss > self._best_loss  # equal or unknown: the later epoch

    def _save_best(self, pl_module: pl.LightningModule) -> None:
        net, spec = pl_module.net, pl_module.spec
        assert isinstance(net, nn.Module)
        assert isinstance(spec, ModelSpec)
        state: dict[str, Tensor] = dict(net.state_dict()) if self._ema is None else self._ema.net_state(net)
        save_weights(self.best_path, state, spec)

    def _save_last(self, trainer: pl.Trainer) -> None:
        temporary = self.last_path.with_name(f".{self.last_path.name}.tmp")
        if trainer.is_global_zero:
            temporary.unlink(missing_ok=True)  # a link that somebody has put there would be followed
        try:
            trainer.save_checkpoint(temporary)
            if trainer.is_global_zero:
                _publish(temporary, self.last_path)
        except (OSError, RuntimeError) as error:
            # torch's own writer reports a full disk as a RuntimeError
            temporary.unlink(missing_ok=True)
            full = isinstance(error, OSError) and error.errno == errno.ENOSPC
            if not full and "PytorchStreamWriter" not in str(error):
                raise
            raise UserError(
                f"There is no space left to write {self.last_path}. Free some, then go on with train "
                f"resume={self.last_path.parent.parent}."
            ) from error


def _publish(temporary: Path, path: Path) -> None:
    """Gives a written file its name once its bytes are on the disk."""
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)
