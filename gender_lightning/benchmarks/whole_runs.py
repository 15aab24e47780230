"""Real trainings in separate processes: `gender-lightning train`, and the textbook script as the baseline."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from gender_lightning.benchmarks.faces import BenchmarkFaces
from gender_lightning.benchmarks.timing import Rate
from gender_lightning.errors import UserError
from gender_lightning.job import PARENT_VARIABLE, job_environment
from gender_lightning.runs import Run
from gender_lightning.training.logs.metrics_csv import read_rows

IMPORTS = "import torch, torchvision, pytorch_lightning"
Report = Callable[[int, int], None]


@dataclass(frozen=True)
class Training:
    """One measured epoch of a real training.

    Attributes:
        images_per_second: Training speed, without validation and checkpoints.
        seconds_beside: Seconds of the epoch outside of training: a validation of one batch, both checkpoints, overhead.
        seconds_validating: Seconds of these in which the whole valid split was validated; None if only a batch was.
        validated: Number of images of that validation.
        peak_gpu_bytes: The most GPU memory that the training had in tensors; None if it used no GPU.
        resident: Whether the epoch came from the device's memory; None without `data.resident`.
    """

    images_per_second: float
    seconds_beside: float
    seconds_validating: float | None = None
    validated: int = 0
    peak_gpu_bytes: int | None = None
    resident: bool | None = None


def train_ours(
    overrides: Sequence[str], folder: Path, steps: int, *, whole_valid: bool = False, within: float | None = None
) -> Training:
    """Train for two epochs of `steps` steps, logging to W&B offline, and measure the second epoch.

    Args:
        overrides: Overrides of `train`.
        folder: Folder of the run.
        steps: Number of steps of an epoch.
        whole_valid: Whether to validate on the whole valid split instead of one batch.
        within: Time limit in seconds.

    Raises:
        UserError: The training failed, and the message contains its last line of output; or it took too long.
    """
    epochs = ("trainer.max_epochs=2", f"trainer.limit_train_batches={steps}", "scheduler.warmup_epochs=0")
    validation = ("trainer.limit_val_batches=1.0",) if whole_valid else ()
    run_dir = _run(overrides, folder, *epochs, *validation, within=within)
    first, second = read_rows(run_dir / "metrics.csv")
    rate = float(second["images_per_second"])
    run = Run.open(run_dir)
    images = (int(second["step"]) - int(first["step"])) * run.config()["data"]["batch_size"]
    info = run.info()
    validated = int(info["data_set"]["valid"]) if whole_valid else 0
    return Training(
        rate,
        float(second["seconds"]) - float(first["seconds"]) - images / rate,
        seconds_validating=validated / info["validation_images_per_second"] if validated else None,
        validated=validated,
        peak_gpu_bytes=info.get("peak_gpu_bytes"),
        resident=info.get("resident"),
    )


def train_textbook(
    faces: BenchmarkFaces,
    folder: Path,
    *,
    backbone: str,
    image_size: int,
    batch_size: int,
    steps: int,
    accelerator: str,
) -> float:
    """Run the textbook script for two epochs and return the images per second of the second.

    Raises:
        UserError: The script failed; the message contains its last line of output.
    """
    folder.mkdir(parents=True)
    files, result = folder / "files.csv", folder / "result.json"
    with files.open("w", newline="") as file:
        writer = csv.writer(file)
        rows = list(zip(faces.paths, faces.labels, strict=True))
        while len(rows) < batch_size * steps:  # repeat pictures until there are enough rows for an epoch
            rows += rows
        writer.writerows(rows[: batch_size * steps])
    arguments = [
        str(files), str(result), "--backbone", backbone, "--image-size", str(image_size),
        "--batch-size", str(batch_size), "--steps", str(steps), "--accelerator", accelerator,
    ]  # fmt: skip
    _process([sys.executable, "-m", "gender_lightning.benchmarks.textbook", *arguments])
    return float(json.loads(result.read_text())[1])


def measure_startup(overrides: Sequence[str], folder: Path, repeats: int, report: Report) -> dict[str, Rate]:
    """Measure the seconds from typing `gender-lightning train` to its first batch, and for importing the libraries.

    Raises:
        UserError: The training failed; the message contains its last line of output.
    """
    ours, imports = [], []
    for repeat in range(repeats + 1):  # the first fills the disk cache
        start = time.perf_counter()
        _process([sys.executable, "-c", IMPORTS])
        imports.append(time.perf_counter() - start)
        typed = time.time()
        run_dir = _run(overrides, folder / str(repeat), "trainer.max_steps=1", "trainer.limit_val_batches=1")
        ours.append(datetime.fromisoformat(Run.open(run_dir).info()["first_batch"]).timestamp() - typed)
        report(repeat, repeats)
    return {"ours": Rate(tuple(ours[1:])), "common": Rate(tuple(imports[1:]))}


def _run(overrides: Sequence[str], folder: Path, *more: str, within: float | None = None) -> Path:
    """Run `gender-lightning train` in a new directory below `folder`."""
    run_dir = folder / "run"
    folder.mkdir(parents=True, exist_ok=True)
    fixed = ["trainer.devices=1", "test=false", "logger=wandb", "logger.mode=offline", "trainer.limit_val_batches=1"]
    command = [sys.executable, "-m", "gender_lightning", "train", *overrides, *fixed, *more, f"run_dir={run_dir}"]
    _process(command, within)
    return run_dir


def _process(command: list[str], within: float | None = None) -> None:
    # it ends with this process, and does not go on computing where this one was ended for taking too long
    environment = {**job_environment(), PARENT_VARIABLE: str(os.getpid())}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=within)
    except subprocess.TimeoutExpired:
        remedy = "Run it by itself to see how long it takes."
        raise UserError(f"A training of the benchmark took longer than {within:.0f} s.", remedy) from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines() or [f"exit code {done.returncode}"]
        raise UserError(f"A training of the benchmark failed: {said[-1]}", f"Run it by itself: {' '.join(command[1:])}")
