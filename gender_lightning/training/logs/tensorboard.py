"""TensorBoard for a run: one event file per training, with HPARAMS and without the points of other evaluations."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
from lightning_fabric.loggers.logger import rank_zero_experiment
from pytorch_lightning.utilities import rank_zero_only

from gender_lightning.runs import Run

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FINAL = "final"  # prefix of the values of HPARAMS, which would be false points of the learning curves
log = logging.getLogger(__name__)


class RunTensorBoard(pl.loggers.TensorBoardLogger):
    """A logger that writes one event file until `finish`; Lightning's starts another after each fit and test.

    A resumed training hides what was logged after the checkpoint that it started from.

    Args:
        run: The run, which gets the folder `tensorboard`.
        hyperparameters: Scalars and lists by dotted name, for HPARAMS.

    Raises:
        ModuleNotFoundError: TensorBoard is not installed.
    """

    def __init__(self, run: Run, hyperparameters: Mapping[str, Any]) -> None:
        super().__init__(run.path, name="tensorboard", version="", default_hp_metric=False)
        self._run = run
        self._hyperparameters = dict(hyperparameters)
        self._writer: SummaryWriter | None = None
        self._step: int | None = None

    @property
    @rank_zero_experiment
    def experiment(self) -> SummaryWriter:
        """The writer, which is opened when the first value is logged."""
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(self.log_dir, purge_step=self._step if self._run.resumed else None)
        return self._writer

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log numbers at a step of the training."""
        self._step = self._step if step is None else step
        super().log_metrics(metrics, step)

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: `finish` logs the configuration together with the results."""

    @rank_zero_only
    def save(self) -> None:
        """Flush the file; `config.yaml` already holds what Lightning would put into `hparams.yaml`."""
        if self._writer is not None:
            self._writer.flush()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Flush the file; Lightning calls this after every fit and test, but only `finish` ends the run."""
        self.save()

    @rank_zero_only
    def finish(self) -> None:
        """Log configuration and results for HPARAMS if the run has results, and close the file."""
        results = self._run.path / "metrics.json"
        try:
            if self._writer is not None and results.is_file():
                final = {f"{FINAL}/{name}": value for name, value in json.loads(results.read_text()).items()}
                super().log_hyperparams(self._hyperparameters, final, self._step)
            if self._writer is not None:
                self._writer.close()
        except OSError as error:
            log.warning("TensorBoard's file in %s could not be completed: %s.", self.log_dir, error.strerror or error)
        self._writer = None
