"""One job of a sweep: a child process in run mode, in a directory of its own, on a slot of the machine."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import Any

from gender_lightning.job import JOB_VARIABLE, JobInfo, TrialLink, job_environment
from gender_lightning.overrides.of_run import hydra_value
from gender_lightning.overrides.own_folders import of_texts
from gender_lightning.runs import Run, write_text
from gender_lightning.sweeps.forking import COMMAND, ForkServer
from gender_lightning.sweeps.processes import Children
from gender_lightning.sweeps.slots import Slot

log = logging.getLogger(__name__)
_TAIL_LINES = 15


@dataclass(frozen=True)
class Job:
    """One training of a sweep: a point of a grid, or a trial of a search."""

    number: int
    overrides: tuple[str, ...]
    directory: Path
    devices: int = 1
    resume: bool = False  # continue from last.ckpt
    trial: TrialLink | None = None
    varied: tuple[str, ...] = ()  # the overrides in which the jobs of the sweep differ

    @property
    def command(self) -> list[str]:
        """The command line that a person would type for this run alone."""
        directory = hydra_value(str(self.directory))
        trusted = [text for text in self.overrides if text.startswith("packages=")]
        rest = [f"resume={directory}", *trusted] if self.resume else [*self.overrides, f"run_dir={directory}"]
        return [*COMMAND, "train", *rest]

    def info(self, slot: Slot) -> JobInfo:
        """Describe the job's place in the sweep to its process."""
        return JobInfo(
            sweep=sweep_name(self.directory.parent),
            number=self.number,
            directory=str(self.directory),
            kind="trial" if self.trial else "job",
            cores=list(slot.cores),
            sharing=slot.sharing,
            trial=self.trial,
            varied=list(self.varied),
        )


@dataclass(frozen=True)
class JobResult:
    """How a job ended.

    Args:
        job: The job.
        status: The status in run.json; `killed` where the job had no time to write one.
        metrics: The final metrics, and the cost of the training: `seconds`, `images_per_second`.
        error: The last lines that the job printed, where it failed or was killed.
        start_seconds: Seconds from the start of its process to its first batch of training.
    """

    job: Job
    status: str
    metrics: dict[str, float]
    error: str = ""
    start_seconds: float | None = None


def run_job(job: Job, slot: Slot, children: Children) -> JobResult:
    """Run a job to its end; what it prints goes into its log.txt.

    Raises:
        Stopped: The job was not started, since the sweep is being ended.
    """
    job.directory.mkdir(parents=True, exist_ok=True)
    if job.resume:  # otherwise run.json would keep the status of the earlier part if this one dies early
        _record(job, Run(job.directory).info(), status="running", error=None)
    environment = {**_environment(slot, job.devices), JOB_VARIABLE: job.info(slot).to_json()}
    begun = time.time()
    exit_code = children.run(job.command, environment, job.directory / "log.txt")
    info = Run(job.directory).info()
    status = _status(info, exit_code, stopped=children.stopping.is_set())
    error = _tail(job, exit_code) if status in ("failed", "killed") else ""
    if error:
        _record(job, info, status="failed", error=info.get("error") or error)
    return JobResult(job, status, _metrics(job, info), error, _start_seconds(info, begun))


@contextmanager
def fork_servers(
    slots: Sequence[Slot], devices: Sequence[int], imports: Sequence[str] = (), *, wanted: bool
) -> Iterator[list[ForkServer]]:
    """Fork servers for the jobs of a sweep; must be entered by the main thread.

    Args:
        slots: One for each worker.
        devices: The numbers of devices that the jobs use, which determine the number of threads of a job and of its
            server.
        imports: Modules that these jobs import besides those of every training.
        wanted: Whether to start any.

    Yields:
        The servers; none if this system does not support them, so that each job is a fresh process.
    """
    servers: list[ForkServer] = []
    with ExitStack() as opened:
        for slot, count in product(slots, sorted(set(devices))) if wanted else []:
            environment = _environment(slot, max(1, count))
            if any(server.serves(COMMAND, environment) for server in servers):
                continue
            try:
                server = ForkServer(environment, imports)
            except OSError as error:
                log.debug("Jobs are started as fresh processes: %s.", error)
                break
            servers.append(server)
            opened.callback(server.close)
        yield servers


def result_of(job: Job) -> JobResult:
    """Read the result of a job from its run directory."""
    info = Run(job.directory).info()
    return JobResult(job, str(info.get("status", "")), _metrics(job, info))


def sweep_name(directory: Path) -> str:
    """The name of a sweep in W&B: `train_resnet50` for `runs/train/resnet50`."""
    return f"{directory.parent.name}_{directory.name}"


def plain_overrides(overrides: Sequence[str]) -> tuple[str, ...]:
    """The job's overrides without those that steer Hydra or the search; it composes from the same folders."""
    steering = ("hydra.", "hydra/", "search=", "search.", "search/")
    own = of_texts(overrides)
    return (*own, *(text for text in overrides if not text.lstrip("+~").startswith(steering)))


def _environment(slot: Slot, devices: int) -> dict[str, str]:
    return {**job_environment(), **slot.environment(devices)}


def _status(info: Mapping[str, Any], exit_code: int, *, stopped: bool) -> str:
    said = str(info.get("status", ""))
    if said in ("interrupted", "pruned") or (exit_code == 0 and said in ("", "done")):
        return said or "done"
    if exit_code < 0:
        return "interrupted" if stopped else "killed"
    return "failed"


def _record(job: Job, info: Mapping[str, Any], **fields: object) -> None:
    """Write `run.json` with changed fields; `Run.update` would not do so if this process is not rank 0."""
    write_text(job.directory / "run.json", json.dumps({**info, **fields}, indent=2) + "\n")


def _tail(job: Job, exit_code: int) -> str:
    """The last lines that a job printed, and how its process ended."""
    lines = (job.directory / "log.txt").read_text(errors="replace").splitlines()
    reason = f"ended by signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"
    return "\n".join([*(line for line in lines if line.strip()), reason][-_TAIL_LINES:])


def _metrics(job: Job, info: Mapping[str, Any]) -> dict[str, float]:
    file = job.directory / "metrics.json"
    metrics = json.loads(file.read_text()) if file.is_file() else {}
    costs = {name: float(info[name]) for name in ("seconds", "images_per_second") if info.get(name) is not None}
    return {**metrics, **costs}


def _start_seconds(info: Mapping[str, Any], begun: float) -> float | None:
    """The seconds from `begun` to the first batch of its training; None if the job did not get there."""
    said = info.get("first_batch")
    seconds = datetime.fromisoformat(said).timestamp() - begun if said else -1.0
    return round(seconds, 1) if seconds > 0 else None  # until then, a resumed run has the time of its earlier part
