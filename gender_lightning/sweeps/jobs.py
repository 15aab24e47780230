"""One job of a sweep: a child process in run mode, in a directory of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gender_lightning.run_overrides import hydra_value
from gender_lightning.runs import Run

# A job starts as a first process: what a launcher around the sweep has set would make it a rank of something else.
_RANK_VARIABLES = (
    "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT",
    "PL_GLOBAL_SEED", "GENDER_LIGHTNING_RUN_DIR",
)  # fmt: skip
_GRACE_SECONDS = 30.0


@dataclass(frozen=True)
class Job:
    """What one point of a grid runs."""

    number: int
    overrides: tuple[str, ...]
    directory: Path

    @property
    def command(self) -> list[str]:
        """The same that a person would type for this run alone."""
        directory = hydra_value(str(self.directory))
        return [sys.executable, "-m", "gender_lightning", "train", *self.overrides, f"run_dir={directory}"]


@dataclass(frozen=True)
class JobResult:
    """How a job ended: `status` as in run.json, `failed` where it did not get so far."""

    job: Job
    status: str
    metrics: dict[str, float]


def run_job(job: Job) -> JobResult:
    """Run a job to its end on this terminal; an interrupt reaches the job, which may save first."""
    process = subprocess.Popen(job.command, env=job_environment())
    try:
        process.wait()
    except KeyboardInterrupt:
        # The terminal has sent the signal to the job as well.
        _let_end(process)
        raise
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            _let_end(process)
    return JobResult(job, _status(job, process.returncode), _metrics(job))


def job_environment() -> dict[str, str]:
    """This process's environment without any rank of a distributed job."""
    return {name: value for name, value in os.environ.items() if name not in _RANK_VARIABLES}


def plain_overrides(overrides: Sequence[str]) -> tuple[str, ...]:
    """The job's overrides without those that steer Hydra itself."""
    return tuple(override for override in overrides if not override.lstrip("+~").startswith("hydra"))


def _let_end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _status(job: Job, exit_code: int) -> str:
    if exit_code == 0:
        return "done"
    if (job.directory / "run.json").is_file():
        status = str(Run.open(job.directory).info().get("status", "failed"))
        return status if status in ("interrupted", "pruned") else "failed"  # it may have had no time to say so itself
    return "failed"


def _metrics(job: Job) -> dict[str, float]:
    file = job.directory / "metrics.json"
    if not file.is_file():
        return {}
    content = json.loads(file.read_text())
    assert isinstance(content, dict)
    return content
