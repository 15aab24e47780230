"""The link of a training to the sweep that started it, through its environment; absent if a person started it."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from dataclasses import asdict, dataclass, field
from typing import Any

JOB_VARIABLE = "GENDER_LIGHTNING_JOB"
PARENT_VARIABLE = "GENDER_LIGHTNING_PARENT"
# A job starts as rank 0: variables that a launcher has set for the sweep would make it a rank of another job, and
# those of a W&B agent would make all jobs one W&B run.
_RANK_VARIABLES = (
    "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT",
    "PL_GLOBAL_SEED", "PL_SEED_WORKERS", "GENDER_LIGHTNING_RUN_DIR", JOB_VARIABLE, "WANDB_RUN_ID", "WANDB_SWEEP_ID",
)  # fmt: skip
_LAUNCHERS = ("SLURM_", "OMPI_COMM_", "PMI_", "TORCHELASTIC_")
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


@dataclass(frozen=True)
class TrialLink:
    """The study that a trial of a search reports to, and the pruner that decides whether it continues."""

    storage: str
    study: str
    id: int
    metrics: dict[str, str]  # the objectives with max or min
    pruner: dict[str, Any] | None  # a `_target_` section


@dataclass(frozen=True)
class JobInfo:
    """A job's place in its sweep."""

    sweep: str
    number: int
    directory: str
    kind: str = "job"  # or trial
    cores: list[int] = field(default_factory=list)  # of its slot; empty: all
    sharing: int = 1  # jobs of the sweep on its GPUs, itself included
    trial: TrialLink | None = None
    varied: list[str] = field(default_factory=list)  # overrides in which the jobs of the sweep differ

    def to_json(self) -> str:
        """Serialise it for the environment of the job's process."""
        return json.dumps(asdict(self))


def this_job() -> JobInfo | None:
    """The job that this process belongs to, on every rank; None outside a sweep."""
    text = os.environ.get(JOB_VARIABLE)
    if not text:
        return None
    values = json.loads(text)
    link = values.pop("trial")
    return JobInfo(**values, trial=TrialLink(**link) if link else None)


def job_environment() -> dict[str, str]:
    """The environment of this process without the variables that make it a rank of a distributed job."""
    return {
        name: value
        for name, value in os.environ.items()
        if name not in _RANK_VARIABLES and not name.startswith(_LAUNCHERS)
    }


def die_with_parent() -> None:
    """Ask the kernel to kill this process when the thread that started it ends; does nothing on macOS."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def obey_parent_alone() -> None:
    """Ignore the signals that ask a program to end, except a SIGTERM of the parent itself."""
    for name in ("SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if not hasattr(signal, "sigwaitinfo"):  # macOS, which does not tell the sender of a signal
        return
    parent = os.getppid()
    # not the default action, which would end this process if another thread received the signal
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def wait() -> None:
        while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
            continue
        os._exit(0)

    threading.Thread(target=wait, name="obey-parent", daemon=True).start()


def settle() -> None:
    """Restrict this process to the cores of its slot, and let it die with its parent; call it before cores are counted.

    It does nothing in a process that a person has started. A killed sweep has no time to end its jobs, nor a killed
    rank 0 to end the other ranks: the kernel does it.
    """
    parent = os.environ.get(PARENT_VARIABLE)
    if not parent:
        return
    die_with_parent()
    if os.getppid() != int(parent):  # it died before the kernel was asked
        sys.exit(1)
    os.environ[PARENT_VARIABLE] = str(os.getpid())  # for the ranks that this process starts
    job = this_job()
    if job is not None and job.cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, job.cores)
