"""Real trainings as processes of their own: `gender-lightning train`, and the textbook script beside it."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from gender_lightning.benchmarks.faces import Faces
from gender_lightning.benchmarks.timing import Rate
from gender_lightning.errors import UserError
from gender_lightning.job import job_environment
from gender_lightning.runs import Run
from gender_lightning.training.logs.metrics_csv import read_rows

IMPORTS = "import torch, torchvision, pytorch_lightning"
Report = Callable[[int, int], None]


@dataclass(frozen=True)
class Training:
    """One measured epoch of a real training.

    Attributes:
        images_per_second: While it trains; validation and checkpoints left out.
        seconds_beside: Of the epoch: a validation of one batch, both checkpoints, and what is around them.
    """

    images_per_second: float
    seconds_beside: float


def train_ours(overrides: Sequence[str], folder: Path, steps: int) -> Training:
    """A training of two epochs of so many steps, with W&B's offline log, of which the second counts.

    Raises:
        UserError: The training failed; holds its last line.
    """
    run_dir = _run(
        overrides, folder, "trainer.max_epochs=2", f"trainer.limit_train_batches={steps}", "scheduler.warmup_epochs=0"
    )
    first, second = read_rows(run_dir / "metrics.csv")
    rate = float(second["images_per_second"])
    images = (int(second["step"]) - int(first["step"])) * Run.open(run_dir).config()["data"]["batch_size"]
    return Training(rate, float(second["seconds"]) - float(first["seconds"]) - images / rate)


def train_textbook(
    faces: Faces, folder: Path, *, backbone: str, image_size: int, batch_size: int, steps: int, accelerator: str
) -> float:
    """Images per second of the second of two epochs of the textbook script.

    Raises:
        UserError: The script failed; holds its last line.
    """
    folder.mkdir(parents=True)
    files, result = folder / "files.csv", folder / "result.json"
    with files.open("w", newline="") as file:
        writer = csv.writer(file)
        rows = list(zip(faces.paths, faces.labels, strict=True))
        while len(rows) < batch_size * steps:  # an epoch needs so many rows, whichever pictures they are
            rows += rows
        writer.writerows(rows[: batch_size * steps])
    arguments = [
        str(files), str(result), "--backbone", backbone, "--image-size", str(image_size),
        "--batch-size", str(batch_size), "--steps", str(steps), "--accelerator", accelerator,
    ]  # fmt: skip
    _process([sys.executable, "-m", "gender_lightning.benchmarks.textbook", *arguments])
    return float(json.loads(result.read_text())[1])


def measure_startup(overrides: Sequence[str], folder: Path, repeats: int, report: Report) -> dict[str, Rate]:
    """Seconds from typing `gender-lightning train` to the first training step, and of importing the libraries.

    Raises:
        UserError: The training failed; holds its last line.
    """
    ours, imports = [], []
    for repeat in range(repeats + 1):  # the first fills the disk's cache
        start = time.perf_counter()
        _process([sys.executable, "-c", IMPORTS])
        imports.append(time.perf_counter() - start)
        typed = time.time()
        run_dir = _run(overrides, folder / str(repeat), "trainer.max_steps=1", "trainer.limit_val_batches=1")
        ours.append(datetime.fromisoformat(Run.open(run_dir).info()["first_step"]).timestamp() - typed)
        report(repeat, repeats)
    return {"ours": Rate(tuple(ours[1:])), "common": Rate(tuple(imports[1:]))}


def _run(overrides: Sequence[str], folder: Path, *more: str) -> Path:
    """One `gender-lightning train` in a new directory below `folder`."""
    run_dir = folder / "run"
    folder.mkdir(parents=True, exist_ok=True)
    fixed = ["trainer.devices=1", "test=false", "logger=wandb", "logger.mode=offline", "trainer.limit_val_batches=1"]
    command = [sys.executable, "-m", "gender_lightning", "train", *overrides, *fixed, *more, f"run_dir={run_dir}"]
    _process(command)
    return run_dir


def _process(command: list[str]) -> None:
    done = subprocess.run(command, env=job_environment(), capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines() or [f"exit code {done.returncode}"]
        raise UserError(f"A training of the benchmark failed: {said[-1]} Run it by itself: {' '.join(command[1:])}")
