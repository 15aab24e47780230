"""Trainings that are killed at random moments and resumed, against the same ones left in peace.

`python tests/end_to_end/breaks/kills.py --kills 20 --seed 1` counts them over all settings; a test does a few.
"""

from __future__ import annotations

import argparse
import csv
import faulthandler
import json
import math
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd
import torch

import gender_lightning.commands.train  # noqa: F401 - once for all that are forked
from gender_lightning.__main__ import main
from gender_lightning.synthetic.faces import draw_faces

COMMON = (
    "data=celeba", "data.image_size=32", "data.batch_size=4", "logger=csv", "trainer.accelerator=cpu",
    "trainer.precision=32-true", "trainer.max_epochs=3", "model=timm", "model.name=timm/test_resnet",
)  # fmt: skip
# every optimizer, schedule, kind of augmentation, mixing, freezing and averaging; saved inside epochs
SETTINGS = (
    ("optimizer=adamw", "scheduler=cosine", "augmentation=standard", "callbacks.ema.decay=0.9", "model.dropout=0.2",
     "callbacks.checkpoint.every_n_steps=1", "data.workers=1"),
    ("optimizer=muon", "scheduler=one_cycle", "augmentation=light", "augmentation.mixup=0.4", "data.workers=0",
     "callbacks.checkpoint.every_n_steps=3"),
    ("optimizer=sgd", "scheduler=plateau", "scheduler.patience=0", "augmentation=strong", "model.freeze=1",
     "callbacks.checkpoint.every_n_steps=2", "data.workers=1", "trainer.accumulate_grad_batches=2",
     "data.resident=true"),
    ("optimizer=lion", "scheduler=step", "scheduler.every_epochs=1", "augmentation=none", "augmentation.cutmix=1.0",
     "loss.class_weights=balanced", "callbacks.checkpoint.every_n_steps=1", "data.workers=0"),
    ("optimizer=adamw", "scheduler=constant", "augmentation=strong", "model.freeze=backbone", "model.dropout=0.5",
     "callbacks.checkpoint.every_n_steps=null", "callbacks.ema.decay=0.5", "data.workers=0"),
    ("optimizer=sgd", "scheduler=cosine", "augmentation=standard", "augmentation.mixup=0.2", "augmentation.cutmix=0.5",
     "augmentation.progressive=[{until:0.5,image_size:16}]", "callbacks.checkpoint.every_minutes=0.0001",
     "data.workers=1", "trainer.max_steps=20", "callbacks.early_stopping.patience=2"),
)  # fmt: skip
LIMIT = 300.0
"""Seconds after which a training, which takes about ten, hangs."""


def draw(root: Path) -> None:
    """A few faces; none of the splits divides by a batch."""
    draw_faces(root, {"train": 33, "valid": 15, "test": 13}, seed=21)


def train(*overrides: str, run: Path, kill_after: float | None = None, log: Path) -> tuple[int, float]:
    """`gender-lightning train` in a forked process, killed so many seconds after its first checkpoint.

    Returns:
        Its wait status, and the seconds from its first checkpoint to its end.
    """
    last = run / "checkpoints" / "last.ckpt"
    before, first = _written(last), math.inf
    child = os.fork()
    if child == 0:
        _run_in_child(overrides, log)
    begun = time.monotonic()
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status, time.monotonic() - first
        if first == math.inf and _written(last) != before:
            first = time.monotonic()
        if kill_after is not None and time.monotonic() - first > kill_after:
            os.kill(child, signal.SIGKILL)
            kill_after = None
        if time.monotonic() - begun > LIMIT:
            os.kill(child, signal.SIGABRT)  # faulthandler says in the log where it hung
            begun = math.inf
        time.sleep(0.01)


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns, as JSON, in a child: libraries start threads, after which no fork is safe."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with os.fdopen(writing, "w") as pipe:
                json.dump(function(*arguments), pipe)
            code = 0
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    assert os.waitpid(child, 0)[1] == 0, f"{function.__name__} failed"
    return json.loads(said)


def _written(file: Path) -> int:
    return file.stat().st_mtime_ns if file.is_file() else 0


def _run_in_child(overrides: Sequence[str], log: Path) -> NoReturn:
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    faulthandler.enable()
    sys.argv = ["gender-lightning", "train", *overrides]
    code = 1
    try:
        main()
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    finally:
        sys.stdout.flush()
        os._exit(code)


def compare(whole: Path, broken: Path) -> list[str]:
    """What differs between two runs, clocks aside; nothing where they are the same to the last bit."""
    wrong = []
    for name in ("best", "last"):
        files = [run / "checkpoints" / f"{name}.ckpt" for run in (whole, broken)]
        one, other = (torch.load(file, weights_only=True) for file in files)
        wrong += _different(one, other, where=name)
    if _curve(whole) != _curve(broken):
        wrong.append("metrics.csv")
    if (whole / "metrics.json").read_bytes() != (broken / "metrics.json").read_bytes():
        wrong.append("metrics.json")
    for split in ("valid", "test"):
        tables = [pd.read_parquet(run / "predictions" / f"{split}.parquet") for run in (whole, broken)]
        if not tables[0].equals(tables[1]):
            wrong.append(f"predictions of {split}")
    return wrong


def _curve(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [{name: cell for name, cell in row.items() if name not in ("seconds", "images_per_second")} for row in rows]


def _different(one: Any, other: Any, where: str) -> list[str]:
    if isinstance(one, torch.Tensor):
        same = isinstance(other, torch.Tensor) and torch.equal(one, other)
    elif isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return [text for key in one if key != "seconds" for text in _different(one[key], other[key], f"{where}.{key}")]
    elif isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [text for number, pair in pairs for text in _different(pair[0], pair[1], f"{where}[{number}]")]
    else:
        same = one == other or (one != one and other != other)
    return [] if same else [where]


def torment(
    faces: Path, folder: Path, settings: Sequence[str], kills: int, chance: random.Random
) -> tuple[list[str], list[str]]:
    """Train in peace, then again with kills and resumes; (what differs, where the kills have struck)."""
    folder.mkdir(parents=True)
    whole, broken, log = folder / "whole", folder / "broken", folder / "output.txt"
    typed = [*COMMON, f"data.root={faces}", *settings]
    status, seconds = train(*typed, f"run_dir={whole}", run=whole, log=log)
    assert status == 0, log.read_text()
    struck: list[str] = []
    while True:
        resume = (broken / "run.json").is_file()
        command = [f"resume={broken}"] if resume else [*typed, f"run_dir={broken}"]
        limit = chance.random() * 0.9 * seconds if len(struck) < kills else None
        status, _ = train(*command, run=broken, kill_after=limit, log=log)
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL, log.read_text()
            struck.append(apart(_place, broken))
            if json.loads((broken / "run.json").read_text())["status"] == "done":
                break
        else:
            assert status == 0, log.read_text()
            break
    return apart(compare, whole, broken), struck


def _place(run: Path) -> str:
    last = run / "checkpoints" / "last.ckpt"
    if not last.is_file():
        return "before the first checkpoint"
    content = torch.load(last, weights_only=True)
    if (run / "metrics.json").is_file():
        return "at the very end"
    if (run / "predictions" / "valid.parquet").is_file():
        return "after the fit"
    inside = content["loops"]["fit_loop"]["epoch_progress"]["current"]
    kind = "inside an epoch" if inside["started"] > inside["processed"] else "after an epoch"
    return f"{kind}, after step {content['global_step']}"


def run_all() -> None:
    """The command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = str(Path(folder) / "cache")
        faces = Path(folder) / "faces"
        apart(draw, faces)
        done = different = trainings = 0
        first = chance.randrange(len(SETTINGS))  # so that a single kill strikes each of them in time
        while done < options.kills:
            settings = SETTINGS[(first + trainings) % len(SETTINGS)]
            wrong, struck = torment(faces, Path(folder) / str(trainings), settings, min(4, options.kills), chance)
            done, different, trainings = done + len(struck), different + bool(wrong), trainings + 1
            report = {"settings": settings, "struck": struck, "different": wrong}
            sys.stdout.write(json.dumps(report) + "\n")
            sys.stdout.flush()
        sys.stdout.write(f"{done} kills in {trainings} trainings, {different} of them different\n")


if __name__ == "__main__":
    run_all()
