"""Signals, dead workers and processes: what is worth saving is saved, and nothing is left behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from gender_lightning.machine.hardware import available_cores

LONG = ("model=timm", "model.name=timm/test_resnet", "trainer.max_epochs=100000", "data.workers=1")
NIGHTLY = (pytest.mark.slow, pytest.mark.nightly)  # test_runs.py says it of a smaller program
pytestmark = pytest.mark.timeout(600)
two_processes = pytest.mark.skipif(available_cores() < 2, reason="two processes need two cores")


@pytest.mark.parametrize("name", ["SIGTERM", pytest.param("SIGUSR1", marks=NIGHTLY)])
def test_a_signal_to_the_whole_group_saves_and_marks_the_run(
    celeba_of: Callable[..., list[str]], tmp_path: Path, name: str
) -> None:
    """As SLURM and a terminal send it: to the loader's processes too."""
    run, number = tmp_path / "run", signal.Signals[name]
    with training(celeba_of(*LONG, f"run_dir={run}"), run) as process:
        left = family(process.pid)
        assert len(left) >= 2, "there are loader processes to leave behind"
        os.killpg(process.pid, number)
        assert process.wait(60) == 128 + number
    assert info(run)["status"] == "interrupted"
    stopped = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]
    assert f"{name}: stopped in epoch" in (run / "log.txt").read_text()
    assert f"after step {stopped}." in (run / "log.txt").read_text()
    assert_gone(left)


@pytest.mark.slow
def test_a_second_ctrl_c_ends_at_once(celeba_of: Callable[..., list[str]], tmp_path: Path) -> None:
    run = tmp_path / "run"
    slow = [*LONG, "data.batch_size=33", "trainer.accumulate_grad_batches=1000000"]  # no step to wait for
    with training(celeba_of(*slow, f"run_dir={run}"), run, ready="first_step") as process:
        left = family(process.pid)
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.3)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
        assert process.wait(60) in (130, -signal.SIGINT)  # to a shell they are one
    assert info(run)["status"] == "interrupted"
    assert_gone(left)


@pytest.mark.slow
@two_processes
def test_two_processes_stop_together_at_one_signal(celeba_of: Callable[..., list[str]], tmp_path: Path) -> None:
    run = tmp_path / "run"
    with training(celeba_of(*LONG, "trainer.devices=2", "data.batch_size=4", f"run_dir={run}"), run) as process:
        left = family(process.pid)
        os.kill(process.pid, signal.SIGTERM)  # to the first alone
        assert process.wait(60) == 143
    assert info(run)["status"] == "interrupted"
    assert_gone(left)


@pytest.mark.slow
@two_processes
@pytest.mark.parametrize("killed", ["first", "second"])
def test_one_of_two_processes_is_killed(celeba_of: Callable[..., list[str]], tmp_path: Path, killed: str) -> None:
    run = tmp_path / "run"
    with training(celeba_of(*LONG, "trainer.devices=2", "data.batch_size=4", f"run_dir={run}"), run) as process:
        left = family(process.pid)
        second = next(pid for pid in children(process.pid) if b"LOCAL_RANK=1" in started_with(pid))
        os.kill(process.pid if killed == "first" else second, signal.SIGKILL)
        code = process.wait(60)
        assert process.stderr is not None
        said = process.stderr.read()
    if killed == "second":
        assert code == 2, said
        assert "Process 1 was ended from outside (SIGKILL)" in said, said
        assert info(run)["status"] == "failed" and "SIGKILL" in info(run)["error"]
    assert_gone(left)


@pytest.mark.slow
@two_processes
def test_a_process_that_fails_ends_the_job_with_its_error(celeba_of: Callable[..., list[str]], tmp_path: Path) -> None:
    """The second process alone fails."""
    run = tmp_path / "run"
    program = (
        "import os, sys\n"
        "from gender_lightning.training.classifier import GenderClassifier\n"
        "step = GenderClassifier.training_step\n"
        "def broken(self, batch, number):\n"
        "    if self.global_rank == 1 and self.global_step == 5:\n"
        "        raise ValueError('the disk of rank one is on fire')\n"
        "    return step(self, batch, number)\n"
        "GenderClassifier.training_step = broken\n"
        "from gender_lightning.__main__ import main\n"
        "main()\n"
    )
    script = tmp_path / "script.py"
    script.write_text(program)
    typed = celeba_of(*LONG, "trainer.devices=2", "data.batch_size=4", f"run_dir={run}")
    with training(typed, run, program=[str(script)], ready=None) as process:
        _, said = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "another of its processes has failed. Process 1: ValueError: the disk of rank one is on fire" in said
    assert info(run)["status"] == "failed" and "the disk of rank one is on fire" in info(run)["error"]
    assert not list(run.glob(".failed-*"))


@pytest.mark.slow
def test_a_loader_process_that_is_killed_is_named(celeba_of: Callable[..., list[str]], tmp_path: Path) -> None:
    run = tmp_path / "run"
    with training(celeba_of(*LONG, f"run_dir={run}"), run) as process:
        for pid in family(process.pid) - {process.pid}:
            os.kill(pid, signal.SIGKILL)
        code = process.wait(60)
        assert process.stderr is not None
        said = process.stderr.read()
    assert code == 2, said
    # torch hears of the signal, or finds the process gone
    assert re.search(r"A process that loads images .*(was ended from outside \(Killed\)|ended unexpectedly)", said)
    assert "data.workers=1" in said and f"train resume={run} continues from it" in said
    assert info(run)["status"] == "failed"


# ---- helpers


@contextmanager
def training(
    overrides: list[str], run: Path, *, ready: str | None = "checkpoint", program: list[str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A training in a group of its own, once it has its first step or checkpoint; nothing is left of it."""
    command = [sys.executable, *(program or ["-m", "gender_lightning"]), "train", *overrides]
    rhythm = ["callbacks.checkpoint.every_n_steps=1"] if ready == "checkpoint" else []
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [*command, *rhythm], env=environment, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    ) as process:
        try:
            while ready is not None and not _is_ready(run, ready):
                if process.poll() is not None:
                    pytest.fail("".join(process.communicate()))
                time.sleep(0.05)
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _is_ready(run: Path, what: str) -> bool:
    if what == "checkpoint":
        return (run / "checkpoints" / "last.ckpt").is_file()
    return (run / "run.json").is_file() and "first_step" in info(run)


def children(pid: int) -> set[int]:
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def family(pid: int) -> set[int]:
    """A process and all that descend from it."""
    return {pid}.union(*(family(child) for child in children(pid)))


def started_with(pid: int) -> list[bytes]:
    """The environment of a process; one that was forked shows its parent's."""
    return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")


def assert_gone(pids: set[int]) -> None:
    """All have ended, or are ending: the kernel needs a moment."""
    deadline = time.monotonic() + 30
    while left := {pid for pid in pids if _lives(pid)}:
        assert time.monotonic() < deadline, f"left behind: {left}"
        time.sleep(0.1)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def info(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run / "run.json").read_text())
    return content
