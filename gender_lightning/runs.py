"""The run directory: created once, before anything can fail, and opened again by its path."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import platform
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gender_lightning.console import record
from gender_lightning.durable import writing
from gender_lightning.errors import UserError
from gender_lightning.interruption import ASKED, Interruption
from gender_lightning.job import this_job
from gender_lightning.machine.provenance import git_state, hardware, package_versions
from gender_lightning.plain_files import refuse_links
from gender_lightning.run_record import Record

# Through this variable rank 0 passes the run directory to the ranks that Lightning starts.
_RANK_VARIABLE = "GENDER_LIGHTNING_RUN_DIR"
_PATIENCE = 5.0  # seconds for the loader processes of a killed training to exit
log = logging.getLogger(__name__)


class Pruned(Exception):
    """The search has stopped this trial early."""


class Run(Record):
    """A training and its directory (`config.yaml`, `run.json`, `metrics.json`, `checkpoints/` ...)."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.checkpoints = path / "checkpoints"
        self.best = self.checkpoints / "best.ckpt"
        self.last = self.checkpoints / "last.ckpt"
        self.previous = self.checkpoints / "previous.ckpt"
        self.predictions = path / "predictions"
        self.resume_from: Path | None = None
        self.resumed = False
        self.extended = False  # whether this resumes a finished run for more epochs
        self.interruption = Interruption()
        self.ended: Callable[..., None] = lambda status, error=None: None

    @classmethod
    def create(
        cls, run_dir: str, config: Mapping[str, Any], overrides: Sequence[str], *, default_name: bool = False
    ) -> Run:
        """Create the directory on the first process; further ranks attach to it.

        Args:
            run_dir: Path of the run directory.
            config: Content of `config.yaml`.
            overrides: Content of `overrides.yaml`.
            default_name: Whether the path is the default one, so that a number may be added if it is taken.

        Raises:
            UserError: The directory exists, or cannot be created.
        """
        if attached := joined_run(run_dir):
            return attached
        path = Path(run_dir).absolute()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            numbered = default_name and not _allocated(path)
            path = _made(path) if numbered else path
            path.mkdir(exist_ok=numbered or _allocated(path))  # atomic: of two runs with one name, one gets it
        except OSError as error:
            if path.exists():
                raise UserError(
                    f"The run directory {path} exists already.",
                    f"Choose another with run_dir=..., or continue that run with resume={path}.",
                ) from None
            raise UserError(
                f"The run directory {path} cannot be created ({error.strerror}).", "Choose another with run_dir=..."
            ) from None
        run = cls(path)
        run.checkpoints.mkdir(exist_ok=True)
        run.predictions.mkdir(exist_ok=True)
        write_text(path / "config.yaml", to_yaml({**config, "run_dir": str(path)} if default_name else config))
        write_text(path / "overrides.yaml", to_yaml(list(overrides)))
        run.update(status="running", created=_now(), seconds=0.0, **_provenance())
        os.environ[_RANK_VARIABLE] = str(path)
        return run

    @classmethod
    def resume(cls, path: str, *, extended: bool = False) -> Run:
        """Resume an earlier run in its own directory, from the beginning if it has no checkpoint yet.

        Args:
            path: The run directory, to continue from its last.ckpt, or a checkpoint in it.
            extended: Whether more epochs were requested, so that a finished run may continue.

        Raises:
            UserError: There is no such run or checkpoint, or the run has finished.
        """
        named = Path(path).expanduser().absolute()
        directory = named.parent.parent if named.suffix == ".ckpt" else named
        run = joined_run(str(directory)) or cls.open(directory)
        if is_first_process():
            refuse_links(run.path)
            if "refit" in run.info():
                raise UserError(f"{run.path} is a refit, not a training.", f"Give model.pretrained={run.path} instead.")
        if is_first_process() and run.info().get("status") == "done" and not extended:
            raise UserError(
                f"The run in {run.path} is finished already.",
                "Give it more epochs with a larger trainer.max_epochs=..., or start a new one with run_dir=...",
            )
        run.resumed, run.extended = True, run.info().get("status") == "done"
        if named.suffix == ".ckpt":
            if not named.is_file():
                raise UserError(f"{named} does not exist.", f"Give the run directory, {run.path}.")
            run.resume_from = named
        else:
            run.resume_from = next((file for file in (run.last, run.previous) if file.is_file()), None)
        os.environ[_RANK_VARIABLE] = str(run.path)
        return run

    @property
    def is_own(self) -> bool:
        """Whether the run's record belongs to this user; True if the file system does not tell."""
        return not hasattr(os, "getuid") or (self.path / "run.json").stat().st_uid == os.getuid()

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Open an existing run.

        Raises:
            UserError: `path` is not a run directory.
        """
        directory = Path(path).absolute()
        if not (directory / "run.json").is_file():
            raise UserError(
                f"{directory} is not a run directory: it has no run.json.",
                "Give the directory that `train` printed at its end.",
            )
        return cls(directory)

    @classmethod
    def of(cls, checkpoint: Path) -> Run | None:
        """The run that contains a checkpoint, or whose directory was given; None for a file outside of any run."""
        candidates = (checkpoint, *checkpoint.absolute().parents[:2])
        return next((cls.open(path) for path in candidates if (path / "run.json").is_file()), None)

    def update(self, **fields: Any) -> None:
        """Add fields to `run.json`; on the first process only."""
        if is_first_process():
            write_text(self.path / "run.json", json.dumps({**self.info(), **fields}, indent=2, default=str) + "\n")

    def write_metrics(self, metrics: Mapping[str, float]) -> None:
        """Write `metrics.json`, flat."""
        if is_first_process():
            write_text(self.path / "metrics.json", json.dumps(dict(metrics), indent=2) + "\n")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Lock the directory against a second training; on the first process only.

        Raises:
            UserError: Another process is training in it.
        """
        if not is_first_process():
            yield
            return
        handle, until = os.open(self.path, os.O_RDONLY), time.monotonic() + _PATIENCE
        try:
            while not _lock(handle):
                if time.monotonic() > until:
                    raise UserError(
                        f"Another process is training in {self.path}.", "Wait for it to end, or stop it first."
                    )
                time.sleep(0.1)
            yield
        finally:
            _lock(handle, fcntl.LOCK_UN)  # closing is not enough: forked loader processes hold it open too
            os.close(handle)

    @contextmanager
    def recording(self, signals: Sequence[str] = ASKED) -> Iterator[None]:
        """Keep `status` and `seconds` in `run.json` up to date however the training ends.

        Args:
            signals: The signals that request an end; see `Interruption`.
        """
        info = self.info()
        started, before = time.monotonic(), float(info.get("seconds", 0.0))
        resumed = {"resumed": [*info.get("resumed", []), _now()]} if self.resumed else {}
        self.update(status="running", error=None, **resumed)

        def ended(status: str, error: str | None = None) -> None:
            if not self.path.is_dir():  # the directory itself may have vanished
                return
            seconds = round(before + time.monotonic() - started, 1)
            try:
                self.update(status=status, error=error, finished=_now(), seconds=seconds)
            except OSError as fault:  # the disk may be full
                log.warning("%s cannot be written: %s.", self.path / "run.json", fault.strerror)

        self.ended = ended
        status, error_text = "done", None
        try:
            with self.interruption.listening(signals, lambda: ended("interrupted")):
                yield
        except Pruned:
            status = "pruned"
            raise
        except (KeyboardInterrupt, SystemExit):
            status = "interrupted"
            raise
        except BaseException as error:
            status, error_text = "failed", f"{type(error).__name__}: {error}"
            raise
        finally:
            ended(status, error_text)

    @contextmanager
    def log_file(self) -> Iterator[None]:
        """Copy all log messages to `log.txt`, including the traceback of an error that ends the run."""
        if not is_first_process() or _prints_to(self.path / "log.txt"):
            yield
            return
        handler = logging.FileHandler(self.path / "log.txt")
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logging.getLogger().addHandler(handler)
        try:
            yield
        except Pruned:
            raise
        except BaseException:
            record.error("The run has ended early.", exc_info=True)
            raise
        finally:
            logging.getLogger().removeHandler(handler)
            handler.close()


def _made(path: Path) -> Path:
    """Create the directory of a default name, with a number after it if another run began in the same second."""
    for number in range(1, 1000):
        candidate = path if number == 1 else path.with_name(f"{path.name}_{number}")
        with suppress(FileExistsError):
            candidate.mkdir()
            return candidate
    raise UserError(
        f"{path} and its numbered neighbours exist already.", "Choose another with run_dir=...", field="run_dir"
    )


def _lock(handle: int, wanted: int = fcntl.LOCK_EX | fcntl.LOCK_NB) -> bool:
    """Try to lock a directory; True also on a file system without locks."""
    try:
        fcntl.flock(handle, wanted)
    except BlockingIOError:
        return False
    except OSError:
        log.debug("This file system has no locks.", exc_info=True)
    return True


def is_first_process() -> bool:
    """Whether this is rank 0 of the job (or its only process)."""
    ranks = (os.environ.get(name, "0") for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK", "NODE_RANK"))
    return all(rank in ("", "0") for rank in ranks)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with writing(path) as file:
        file.write(text)


def to_yaml(content: object) -> str:
    """Serialise as plain YAML, keeping the order of the keys."""
    import yaml

    return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def _allocated(path: Path) -> bool:
    """Whether the sweep that started this process has already created the directory."""
    job = this_job()
    return job is not None and Path(job.directory) == path and not (path / "config.yaml").exists()


def _prints_to(path: Path) -> bool:
    """Whether standard output is already redirected to that file, as in the jobs of a sweep."""
    try:
        return os.path.samestat(os.fstat(1), path.stat())
    except OSError:  # no such file, or no standard output
        return False


def joined_run(run_dir: str) -> Run | None:
    """The run that a further process joins, which the first process has created; None on the first process itself.

    Args:
        run_dir: The configured directory, unless the first process has passed on another one.

    Raises:
        UserError: torchrun or srun has started the processes, and run_dir does not name a directory for all of them.
    """
    if _RANK_VARIABLE in os.environ:
        return None if is_first_process() else Run(Path(os.environ[_RANK_VARIABLE]))
    started_outside = not is_first_process() or os.environ.get("WORLD_SIZE", "1") not in ("", "1")
    # Started by torchrun or srun: the default name contains the time, which differs between ranks.
    if started_outside and not any(argument.startswith(("run_dir=", "resume=")) for argument in sys.argv):
        raise UserError("Processes started by torchrun or srun need one directory to share.", "Give run_dir=...")
    return None if is_first_process() else Run(Path(run_dir).absolute())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _provenance() -> dict[str, Any]:
    return {
        "command": shlex.join(["gender-lightning", *sys.argv[1:]]),
        "directory": os.getcwd(),
        "host": platform.node(),
        "python": platform.python_version(),
        "packages": package_versions(),
        "hardware": hardware(),
        **git_state(),
    }
