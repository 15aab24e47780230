"""The learning curve in metrics.csv."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from gender_lightning.durable import writing
from gender_lightning.errors import UserError
from gender_lightning.training.callbacks.throughput import Throughput

FIRST_COLUMNS = ("epoch", "step", "seconds", "train/loss")
LAST_COLUMNS = ("lr", "images_per_second")


class MetricsCsv(pl.Callback):
    """Writes one row per epoch: epoch, step, seconds, train/loss, val/*, lr, images_per_second.

    `epoch` counts from 1, `step` counts optimizer steps, `seconds` is the training time summed over
    all resumes, `lr` is the highest rate of the epoch's last step. A resume drops the rows of epochs that are
    trained again. The file is always replaced as a whole, so that a reader never sees half of it.

    Args:
        path: The file to write.
        throughput: Source of images_per_second.
    """

    def __init__(self, path: Path, throughput: Throughput | None = None) -> None:
        self.path = path
        self._throughput = throughput
        self._rows: list[dict[str, str]] = []
        self._started = time.monotonic()
        self._before = 0.0  # seconds of the earlier parts, from the checkpoint
        self._validated = False
        self._lr = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Read the rows that earlier parts of this training wrote."""
        self._rows = [row for row in read_rows(self.path) if int(row["epoch"]) <= trainer.current_epoch]
        before = float(self._rows[-1]["seconds"]) if self._rows else 0.0
        self._started = time.monotonic() - max(before, self._before)

    def state_dict(self) -> dict[str, Any]:
        """Return the seconds so far and the last rate: a checkpoint within an epoch is later than the last row."""
        return {"seconds": time.monotonic() - self._started, "lr": self._lr}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the seconds of the earlier parts."""
        self._before, self._lr = float(state_dict["seconds"]), float(state_dict["lr"])

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Record the rate of this step, since schedulers advance before the epoch's row is written."""
        self._lr = max(float(group["lr"]) for optimizer in trainer.optimizers for group in optimizer.param_groups)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Record that the validation metrics belong to this epoch."""
        self._validated = not trainer.sanity_checking

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add the row of the epoch."""
        # on every rank, since metrics may still have to be reduced over ranks
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items() if self._is_shown(name)}
        self._validated = False
        if not trainer.is_global_zero:
            return
        row: dict[str, object] = {
            "epoch": trainer.current_epoch + 1,
            "step": trainer.global_step,
            "seconds": f"{time.monotonic() - self._started:.2f}",
            "lr": f"{self._lr:.6g}",
        }
        row |= {name: f"{value:.6g}" for name, value in metrics.items()}
        if self._throughput is not None:
            row["images_per_second"] = f"{self._throughput.images_per_second:.2f}"
        self._rows.append({name: str(value) for name, value in row.items()})
        write_rows(self.path, self._rows)

    def _is_shown(self, name: str) -> bool:
        return name == "train/loss" or (name.startswith("val/") and self._validated)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read the rows of a metrics.csv without empty cells; returns an empty list if there is no file.

    Raises:
        UserError: The file is damaged.
    """
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [{name: cell for name, cell in row.items() if name and cell} for row in csv.DictReader(file)]
        for row in rows:
            int(row["epoch"])
            float(row.get("seconds", 0))
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise UserError(f"{path} is damaged ({error!r:.100}).", "Restore it, or remove it.") from None
    return rows


def write_rows(path: Path, rows: list[dict[str, str]]) -> None:
    """Replace the file; its header is the union of all rows' columns."""
    names = dict.fromkeys(name for row in rows for name in row)
    middle = sorted(name for name in names if name not in (*FIRST_COLUMNS, *LAST_COLUMNS))
    with writing(path) as file:
        writer = csv.DictWriter(file, [*FIRST_COLUMNS, *middle, *LAST_COLUMNS], restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
