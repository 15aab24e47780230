"""metrics.csv has one row per epoch, whatever happens in between."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
from toy_training import BATCHES, COSINE, Toy, fit

from gender_lightning.training.logs.metrics_csv import read_rows, write_rows
from gender_lightning.training.schedules import make_schedule

COLUMNS = ["epoch", "step", "seconds", "train/loss", "val/accuracy", "val/loss", "lr", "images_per_second"]


def test_one_row_per_epoch_with_what_was_measured(tmp_path: Path) -> None:
    done = fit(tmp_path)
    with (tmp_path / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == COLUMNS
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert [int(row["step"]) for row in rows] == [BATCHES * n for n in (1, 2, 3, 4)]
    schedule = make_schedule(COSINE.items(), total_steps=4 * BATCHES, steps_per_epoch=BATCHES)
    expected = [0.1 * schedule(BATCHES * n - 1) for n in (1, 2, 3, 4)]
    assert [float(row["lr"]) for row in rows] == pytest.approx(expected, rel=1e-5)
    assert float(rows[-1]["val/loss"]) == pytest.approx(float(done.trainer.callback_metrics["val/loss"]), rel=1e-5)
    assert all(float(row["images_per_second"]) > 0 for row in rows)
    seconds = [float(row["seconds"]) for row in rows]
    assert seconds == sorted(seconds)


@pytest.mark.parametrize("cut", [7, 10])  # in the third epoch, and in its first batch
def test_a_resume_leaves_no_hole_and_no_double_row(tmp_path: Path, cut: int) -> None:
    class Interrupt(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
            if trainer.global_step == cut:
                raise RuntimeError("power cut")

    fit(tmp_path / "whole")
    with pytest.raises(RuntimeError, match="power cut"):
        fit(tmp_path / "cut", extra=[Interrupt()])
    fit(tmp_path / "cut", resume=True)
    whole, parts = (read_rows(tmp_path / name / "metrics.csv") for name in ("whole", "cut"))
    for name in ("epoch", "step", "train/loss", "val/loss", "lr"):
        assert [row[name] for row in parts] == [row[name] for row in whole]


def test_a_row_that_was_written_before_its_checkpoint_is_replaced(tmp_path: Path) -> None:
    fit(tmp_path, epochs=2)
    path = tmp_path / "metrics.csv"
    write_rows(path, [*read_rows(path), {"epoch": "3", "step": "15", "seconds": "9"}])
    fit(tmp_path, resume=True)
    assert [row["epoch"] for row in read_rows(path)] == ["1", "2", "3", "4"]


def test_epochs_without_validation_leave_its_cells_empty(tmp_path: Path) -> None:
    fit(tmp_path, check_val_every_n_epoch=2)
    assert ["val/loss" in row for row in read_rows(tmp_path / "metrics.csv")] == [False, True, False, True]


def test_a_column_that_comes_later_joins_the_header(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    write_rows(path, [{"epoch": "1"}, {"epoch": "2", "val/f1": "0.5"}])
    assert path.read_text().splitlines() == [
        "epoch,step,seconds,train/loss,val/f1,lr,images_per_second",
        "1,,,,,,",
        "2,,,,0.5,,",
    ]
    assert read_rows(path) == [{"epoch": "1"}, {"epoch": "2", "val/f1": "0.5"}]
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.csv"]


def test_a_run_without_validation_has_its_rows(tmp_path: Path) -> None:
    fit(tmp_path, valid=False, module=Toy(), epochs=2)
    assert [row["epoch"] for row in read_rows(tmp_path / "metrics.csv")] == ["1", "2"]
