"""`train -m`: a run directory for every combination, each with its own configuration."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from gender_lightning.models.checkpoints.checkpoint import read_checkpoint

# what two trainings that compute the same tell differently
TIMES = {
    "created", "finished", "first_batch", "first_step", "seconds", "images_per_second", "validation_images_per_second",
    "command",
}  # fmt: skip

pytestmark = pytest.mark.slow
two_cores = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")


def sweep(tmp_path: Path, *typed: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gender_lightning", "train", "-m", *typed, f"hydra.sweep.dir={tmp_path / 'sweep'}"],
        cwd=tmp_path,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        timeout=280,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="jobs are forked on Linux only")
def test_a_forked_job_trains_as_a_fresh_one(celeba_of: Callable[..., list[str]], tmp_path: Path) -> None:
    """The second fork of a server, and a process of its own: the same to the last bit."""
    small = celeba_of("model=timm", "model.name=timm/test_resnet", "data.workers=1")
    result = sweep(tmp_path, *small, "seed=1,2", "hydra.sweeper.fork=true")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "fresh process" not in result.stdout + result.stderr  # the server has served
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "gender_lightning", "train", *small, "seed=2", f"run_dir={tmp_path / 'fresh'}"]
    with (tmp_path / "printed.txt").open("w") as printed:
        subprocess.run(command, cwd=tmp_path, env=environment, stdout=printed, stderr=subprocess.STDOUT, check=True)
    forked, fresh = tmp_path / "sweep" / "1", tmp_path / "fresh"
    assert (forked / "metrics.json").read_bytes() == (fresh / "metrics.json").read_bytes()
    assert weights_of(forked).keys() == weights_of(fresh).keys()
    assert all(torch.equal(weights_of(forked)[name], value) for name, value in weights_of(fresh).items())
    infos = [json.loads((run / "run.json").read_text()) for run in (forked, fresh)]
    assert list(infos[0]) == list(infos[1])
    differing = {name for name in infos[0] if infos[0][name] != infos[1][name]}
    assert differing <= TIMES
    said = [
        re.sub(r"\d+ images/s.*|run directory.*", "", text) for text in (read(forked / "log.txt"), read(printed.name))
    ]
    assert said[0] == said[1]


def weights_of(run: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(run / "checkpoints" / "best.ckpt")[1]


def read(path: str | Path) -> str:
    return Path(path).read_text()


@two_cores
def test_each_job_trains_on_the_devices_that_it_names(celeba_of: Callable[..., list[str]], tmp_path: Path) -> None:
    small = ("model=timm", "model.name=timm/test_resnet", "trainer.devices=1,2", "trainer.max_epochs=2")
    result = sweep(tmp_path, *celeba_of(*small))
    assert result.returncode == 0, result.stdout + result.stderr
    for number, devices in enumerate((1, 2)):
        directory = tmp_path / "sweep" / str(number)
        assert json.loads((directory / "run.json").read_text())["trainer"]["devices"] == devices
        epochs = list(csv.DictReader((directory / "metrics.csv").open()))
        assert len(epochs) == 2  # once, not once per rank
        assert [row["step"] for row in epochs] == (
            ["4", "8"] if devices == 1 else ["2", "4"]
        )  # 33 faces, whole batches


@two_cores
def test_two_seeds_are_two_runs_at_once_on_a_core_each(celeba_of: Callable[..., list[str]], tmp_path: Path) -> None:
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    recipe = "# @package _global_\ndefaults: [{override /model: timm}, {override /loss: focal}]\n"
    (tmp_path / "mine" / "experiment" / "own.yaml").write_text(f"{recipe}model: {{name: timm/test_resnet}}\n")
    small = ("--config-dir", "mine", "experiment=own", "seed=1,2", "hydra.sweeper.workers=2")
    result = sweep(tmp_path, *small, *celeba_of("trainer.max_epochs=20"))
    assert result.returncode == 0, result.stdout + result.stderr
    directories = sorted(path.parent for path in tmp_path.rglob("run.json"))
    assert directories == [tmp_path / "sweep" / name for name in ("0", "1")]
    configs = [yaml.safe_load((run / "config.yaml").read_text()) for run in directories]
    assert [(config["seed"], config["loss"]["name"]) for config in configs] == [(1, "focal"), (2, "focal")]
    weights = [(run / "checkpoints" / "best.ckpt").read_bytes() for run in directories]
    assert weights[0] != weights[1]
    runs = [json.loads((run / "run.json").read_text()) for run in directories]
    assert {run["status"] for run in runs} == {"done"}
    assert max(run["created"] for run in runs) < min(run["finished"] for run in runs)  # at once
    assert {run["hardware"]["cores"] for run in runs} == {len(os.sched_getaffinity(0)) // 2}
