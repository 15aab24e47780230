"""The link of a trial to its search: it reports its progress and learns whether to continue."""

from __future__ import annotations

import logging
import math
from typing import Any

import pytorch_lightning as pl

from gender_lightning import building
from gender_lightning.errors import UserError
from gender_lightning.job import TrialLink

log = logging.getLogger(__name__)


class ReportToSearch(pl.Callback):
    """Reports the objective of every epoch to the study, on rank 0, and broadcasts its decision to all ranks.

    With several objectives nothing is reported, since Optuna can prune by one only. Afterwards, `pruned` says whether
    the search has stopped the training.

    Args:
        link: Where the trial reports to.
    """

    def __init__(self, link: TrialLink) -> None:
        self.pruned = False
        self._link = link
        self._metric = next(iter(link.metrics)) if len(link.metrics) == 1 else None
        self._validated = False
        self._decide: Any = None

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Record that this epoch has metrics."""
        self._validated = not trainer.sanity_checking

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report, and stop on every rank or on none."""
        validated, self._validated = self._validated, False
        if not validated:
            return
        # on every rank: metrics that are still to be reduced over ranks need all of them
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        if not math.isfinite(metrics.get("val/loss", 0.0)):
            raise FloatingPointError(f"val/loss is {metrics['val/loss']} after epoch {trainer.current_epoch + 1}")
        if self._metric is None or self._metric not in metrics:
            return
        decision = trainer.is_global_zero and self._report(trainer.current_epoch + 1, metrics[self._metric])
        if trainer.strategy.broadcast(decision):
            self.pruned = trainer.should_stop = True

    def _report(self, epoch: int, value: float) -> bool:
        import optuna

        if self._decide is None:
            self._open()
        try:
            return bool(self._decide(epoch, value))
        except optuna.exceptions.UpdateFinishedTrialError:
            problem = "This trial was taken for dead, and another process runs it now."
            raise UserError(problem, "Nothing needs to be done: this one ends here.") from None
        except (optuna.exceptions.StorageInternalError, OSError) as error:
            log.warning("The study cannot be reached (%s): this epoch is not reported.", error)
            return False

    def _open(self) -> None:
        import optuna

        from gender_lightning.sweeps.search.storage import open_storage, quiet

        quiet()
        storage = open_storage(self._link.storage)
        pruner = building.build(self._link.pruner, building.PRUNER) if self._link.pruner else optuna.pruners.NopPruner()
        study = optuna.load_study(study_name=self._link.study, storage=storage, pruner=pruner)

        def decide(epoch: int, value: float) -> bool:
            storage.set_trial_intermediate_value(self._link.id, epoch, value)
            # not Trial.should_prune: a Trial asks the sampler, and only the sweep samples
            return bool(pruner.prune(study, storage.get_trial(self._link.id)))

        self._decide = decide
