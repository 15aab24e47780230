"""Media for W&B: a picture of a batch, curves, confusion matrices, the best checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytorch_lightning as pl
from numpy.typing import NDArray

from gender_lightning.data.dataset import Batch
from gender_lightning.evaluation.predictions import read_predictions
from gender_lightning.evaluation.statistics.curves import (
    Curve,
    confusion_matrix,
    precision_recall_curve,
    roc_curve,
)
from gender_lightning.runs import Run
from gender_lightning.training.logs.wandb_session import GuardedWandbLogger
from gender_lightning.transforms import describe_batch_image

if TYPE_CHECKING:
    import pandas as pd
    from wandb import Run as WandbRun

    from gender_lightning.training.classifier import GenderClassifier

CLASS_NAMES = ("female", "male")
PREFIXES = {"valid": "val", "test": "test"}  # prefix of the metric names of a split
_POINTS = 500  # per curve: finer than a screen can show


@dataclass(frozen=True)
class WorstFaces:
    """The faces of valid with the largest loss, the worst first.

    Attributes:
        pictures: What the network saw, RGB uint8 (N, S, S, 3).
        table: One row per face with `image_id`, `label` (1 male), `probability` (of male) and `loss` (nats).
    """

    pictures: NDArray[np.uint8]
    table: pd.DataFrame


class WandbReport(pl.Callback):
    """Opens W&B during the first steps, and logs a labelled picture of the first batch as the network saw it.

    Args:
        picture: Whether to log the picture.
    """

    def __init__(self, *, picture: bool = True) -> None:
        self._picture = picture

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start opening the run: the loader processes have been forked by now."""
        for logger in wandb_loggers(trainer.loggers):
            logger.start()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: Batch, batch_idx: int
    ) -> None:
        """Wait for the run before the loader processes of the validation are forked."""
        if trainer.is_last_batch:
            for logger in wandb_loggers(trainer.loggers):
                logger.wait()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        """Log the picture before the first step; the augmentation is a pure function, so this has no side effects."""
        if not self._picture or trainer.current_epoch > 0 or batch_idx > 0:
            return
        for logger in wandb_loggers(trainer.loggers):
            if logger.alive:
                picture = _draw(cast("GenderClassifier", pl_module), batch)
                logger.attempt("log a batch", partial(_log_picture, picture=picture))


def report_run(
    loggers: Sequence[pl.loggers.Logger],
    run: Run,
    *,
    log_model: bool,
    worst: Callable[[], WorstFaces] | None = None,
) -> None:
    """Log the contents of a run directory after its training.

    Args:
        loggers: The result of `make_loggers`; loggers other than W&B are ignored.
        run: The run, with `predictions/valid.parquet`, `predictions/test.parquet`, `metrics.json` and
            `checkpoints/best.ckpt`; missing files are left out.
        log_model: Log `best.ckpt` as an artifact. The file must not change afterwards, since it is not copied.
        worst: Gives the worst faces of valid, which are logged; None where no pictures are wanted.
    """
    for logger in wandb_loggers(loggers):
        for split, prefix in PREFIXES.items():
            path = run.predictions / f"{split}.parquet"
            if path.is_file():
                table = read_predictions(path)
                logger.attempt(f"log curves of {split}", partial(log_curves, table=table, prefix=prefix))
        if worst is not None and logger.alive:
            logger.attempt("log the worst faces", partial(_log_worst, worst=worst()))
        logger.attempt("log final metrics", partial(_log_summary, path=run.path / "metrics.json"))
        if log_model and run.best.is_file():
            logger.attempt("log the best checkpoint", partial(_log_best, path=run.best))


def log_curves(experiment: WandbRun, table: pd.DataFrame, prefix: str) -> None:
    """Log confusion matrix (at probability 0.5), ROC and precision-recall curve of a predictions table.

    Args:
        experiment: A W&B run.
        table: Table with `label` (1 male) and `logit`; curves that need an absent class are left out, and all
            three if a logit is not finite.
        prefix: Prefix of the names `<prefix>/roc_curve`, `/precision_recall_curve`, `/confusion_matrix`.
    """
    labels, logits = table["label"].to_numpy(), table["logit"].to_numpy()
    if not len(table) or not np.isfinite(logits).all():
        return
    charts = {f"{prefix}/confusion_matrix": _matrix_chart(confusion_matrix(labels, logits >= 0), prefix)}
    if labels.any():
        curve = precision_recall_curve(labels, logits)
        charts[f"{prefix}/precision_recall_curve"] = _curve_chart(curve, ("recall", "precision"), prefix)
    if labels.any() and not labels.all():
        names = ("false_positive_rate", "true_positive_rate")
        charts[f"{prefix}/roc_curve"] = _curve_chart(roc_curve(labels, logits), names, prefix)
    experiment.log(charts)


def wandb_loggers(loggers: Sequence[pl.loggers.Logger]) -> list[GuardedWandbLogger]:
    """The W&B loggers among the loggers."""
    return [logger for logger in loggers if isinstance(logger, GuardedWandbLogger)]


def _draw(module: GenderClassifier, batch: Batch) -> NDArray[np.uint8]:
    images, targets = module.augmented(batch)
    return describe_batch_image(images, targets, module.spec.mean, module.spec.std)


def _log_picture(experiment: WandbRun, picture: NDArray[np.uint8]) -> None:
    import wandb

    experiment.log({"train/augmented_batch": wandb.Image(picture, caption="as the network sees it")})


def _log_worst(experiment: WandbRun, worst: WorstFaces) -> None:
    import wandb

    columns = ["face", "image_id", "label", "probability", "loss"]
    values = [worst.table[name].tolist() for name in columns[1:]]
    rows: list[Any] = [
        [wandb.Image(picture), name, CLASS_NAMES[label], probability, loss]
        for picture, name, label, probability, loss in zip(worst.pictures, *values, strict=True)
    ]
    experiment.log({"val/worst_faces": wandb.Table(columns=[*columns], data=rows)})


def _log_summary(experiment: WandbRun, path: Path) -> None:
    """Set the values of the run table to the metrics of the best checkpoint instead of the last epoch."""
    if path.is_file():
        experiment.summary.update(json.loads(path.read_text()))


def _log_best(experiment: WandbRun, path: Path) -> None:
    import wandb

    artifact = wandb.Artifact(f"model-{experiment.id}", type="model")
    # immutable: read in place at upload or sync; a copy per run would fill the disk
    artifact.add_file(str(path), name="best.ckpt", policy="immutable", skip_cache=True)
    experiment.log_artifact(artifact, aliases=["best"])


def _matrix_chart(matrix: NDArray[np.int64], prefix: str) -> Any:
    """W&B's standard chart from counts, since `wandb.plot.confusion_matrix` loops over images."""
    import wandb

    rows: list[Any] = [
        [actual, predicted, int(matrix[i, j])]
        for i, actual in enumerate(CLASS_NAMES)
        for j, predicted in enumerate(CLASS_NAMES)
    ]
    columns = ["Actual", "Predicted", "nPredictions"]
    return wandb.plot_table(
        "wandb/confusion_matrix/v1",
        wandb.Table(columns=[*columns], data=rows),
        {name: name for name in columns},
        {"title": f"{prefix}: confusion matrix"},
    )


def _curve_chart(curve: Curve, names: tuple[str, str], prefix: str) -> Any:
    """W&B's standard chart from our points, since `wandb.plot.roc_curve` computes the curve again."""
    import wandb

    x, y = names
    points = curve.thinned(_POINTS)
    rows: list[Any] = [["male", *point] for point in zip(points.x.tolist(), points.y.tolist(), strict=True)]
    titles = {"x-axis-title": x.replace("_", " "), "y-axis-title": y.replace("_", " ")}
    return wandb.plot_table(
        "wandb/area-under-curve/v0",
        wandb.Table(columns=["class", x, y], data=rows),
        {"x": x, "y": y, "class": "class"},
        {"title": f"{prefix}: {titles['y-axis-title']} over {titles['x-axis-title']}", **titles},
    )
