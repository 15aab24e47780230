"""The other processes of a training on several devices: none outlives the first, and a failing one is named."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.distributed import _destroy_dist_connection
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.strategies.launchers import _SubprocessScriptLauncher

from gender_lightning.durable import writing
from gender_lightning.errors import UserError, printable
from gender_lightning.job import PARENT_VARIABLE
from gender_lightning.runs import Pruned, Run, is_first_process

_LOOK_SECONDS = 0.25
_GONE = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "gloo", "NCCL", "Socket closed")
PATIENCE_SECONDS = 10.0  # time for the first process to notice a failure by itself
START_SECONDS = 1800.0  # time for the first process to draw or check the data: as long as torch waits for a process
log = logging.getLogger(__name__)


class OtherRankFailed(Exception):
    """Another process of this training has failed, so this one ends."""


class Ranks(_SubprocessScriptLauncher):
    """Starts the other processes as Lightning does, and watches them.

    Lightning's own watch kills the first process five seconds after another has failed, without a word in
    run.json. Here the first process notices the failure by itself, at its next exchange of gradients, and is ended only
    if it hangs.

    Attributes:
        unwinding: Set once this process has noticed a failure.
        last_words: Called with the reason before this process is ended.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.unwinding = threading.Event()
        self.last_words: Callable[[str], None] = lambda error: None

    def launch(self, function: Callable[..., Any], *args: Any, trainer: Any = None, **kwargs: Any) -> Any:
        """Start the processes, unless they run already, and call a function in this one."""
        del trainer
        self.cluster_environment.validate_settings(num_devices=self.num_processes, num_nodes=self.num_nodes)
        if not self.procs and not self.cluster_environment.creates_processes_externally:
            before = os.environ.get(PARENT_VARIABLE)
            os.environ[PARENT_VARIABLE] = str(os.getpid())  # so that the kernel ends them together with this one
            try:
                self._call_children_scripts()
            finally:
                if before is None:
                    del os.environ[PARENT_VARIABLE]
                else:
                    os.environ[PARENT_VARIABLE] = before
            threading.Thread(target=self._watch, name="watch-ranks", daemon=True).start()
        return function(*args, **kwargs)

    def end(self, *, kill: bool) -> None:
        """Stop watching; with `kill`, end the other processes, whose errors would only follow from this one's."""
        self.unwinding.set()
        if kill:
            self.kill(signal.SIGKILL)

    def _watch(self) -> None:
        while all(process.poll() in (None, 0) for process in self.procs):
            if self.unwinding.wait(_LOOK_SECONDS):
                return
        if self.unwinding.wait(PATIENCE_SECONDS):
            return
        failed = next(process for process in self.procs if process.returncode)
        self.last_words(_ending(self.procs.index(failed) + 1, failed.returncode))
        self.kill(signal.SIGKILL)
        os._exit(1)


class WatchedDDP(DDPStrategy):
    """DDP whose processes are started by `Ranks`."""

    def _configure_launcher(self) -> None:
        assert self.cluster_environment is not None
        self._launcher = Ranks(self.cluster_environment, self.num_processes, self.num_nodes)


def watch_ranks(trainer: pl.Trainer, run: Run) -> None:
    """Record the reason in run.json if the first process has to be ended because it hangs."""
    launcher = trainer.strategy.launcher
    if isinstance(launcher, Ranks):
        _launched.append(launcher)
        launcher.last_words = lambda error: run.ended("failed", take_words(run.path) or error)


@contextmanager
def one_report(run: Run) -> Iterator[None]:
    """Let the first process report for all of them if one fails; without effect for a training in one process.

    The other processes write their error to a file and end at once. The first process recognises that a broken exchange
    is the consequence of another's error; if it fails itself, it ends the others.
    """
    first = is_first_process()
    try:
        yield
    except (Pruned, SystemExit, KeyboardInterrupt):
        _end_others(kill=False)
        raise
    except BaseException as error:
        consequence = isinstance(error, OtherRankFailed) or _is_broken_exchange(error)
        if not first:
            if not consequence:  # otherwise the first process reports the cause
                leave_word(run.path, str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}")
            _leave(None if consequence else error)
        atexit.unregister(_destroy_dist_connection)  # it can wait for an exchange that the others never finish
        cause = (wait_for_words(run.path) or _fate()) if consequence else None
        _end_others(kill=True)
        if cause is None:
            raise
        raise UserError("The training has ended because another of its processes has failed.", cause) from error


def _leave(error: BaseException | None) -> NoReturn:
    """End another process without its exit handlers, which may wait for the other ranks (NCCL: 30 minutes)."""
    if isinstance(error, UserError):
        sys.stderr.write(f"{printable(str(error))}\n")
    elif error is not None:
        traceback.print_exception(error)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(2 if isinstance(error, UserError) else 1)


def wait_for_first_process(run: Run, seconds: float = START_SECONDS) -> None:
    """Make the other processes wait until the first has prepared the data and started the training.

    Processes that Lightning starts come after that. Those that torchrun, srun or a person starts would read the run's
    files before they are written, and would prepare the data at the same time as the first.

    Args:
        run: The run that the first process creates or resumes.
        seconds: Time limit.

    Raises:
        UserError: The first process has not started within the time limit.
    """
    if is_first_process():
        return
    started = time.monotonic()
    while not _has_begun(run):
        if time.monotonic() - started > seconds:
            raise UserError(
                f"The first process has not started the training in {run.path}: this process has waited "
                f"{seconds / 60:.0f} minutes for its run.json.",
                "Read the output of the first process, and make sure that run_dir is on a disk that all share.",
                field="run_dir",
            )
        time.sleep(_LOOK_SECONDS)
    waited = time.monotonic() - started
    if waited > 1:
        log.info("Waited %.0f s for the first process, which was preparing the run in %s.", waited, run.path)


def _has_begun(run: Run) -> bool:
    if not (run.path / "config.yaml").is_file():
        return False
    info = run.info()
    return info.get("status") == "running" and "trainer" in info  # `train` writes it before the first step


_launched: list[Ranks] = []


def _end_others(*, kill: bool) -> None:
    for launcher in _launched:
        launcher.end(kill=kill)
    _launched.clear()


def _fate() -> str | None:
    """How a process ended that left no word."""
    codes = [(number, process.poll()) for ranks in _launched for number, process in enumerate(ranks.procs, start=1)]
    return next((_ending(number, code) for number, code in codes if code), None)


def _ending(number: int, code: int) -> str:
    if code < 0:
        name = signal.Signals(-code).name
        return f"Process {number} was ended from outside ({name}), most often because memory ran out."
    return f"Process {number} has ended with exit code {code}."


def _is_broken_exchange(error: BaseException) -> bool:
    """Whether gloo or NCCL reports that a process on the other side is gone."""
    if isinstance(error, torch.distributed.DistError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _GONE)


def leave_word(directory: Path, error: str) -> None:
    """Write down the error that ends another process, for the first to report."""
    with suppress(OSError), writing(directory / f".failed-{os.environ.get('LOCAL_RANK', '')}") as file:
        file.write(error)


def take_words(directory: Path) -> str | None:
    """The errors that other processes have left, one sentence each, which are then removed; None if there are none."""
    words = sorted(directory.glob(".failed-*"))
    texts = [f"Process {path.name.rpartition('-')[2]}: {path.read_text(encoding='utf-8')}" for path in words]
    for path in words:
        path.unlink(missing_ok=True)
    return " ".join(texts) or None


def wait_for_words(directory: Path, seconds: float = 3.0) -> str | None:
    """The same as `take_words`, but waits for errors that are just being written."""
    deadline = time.monotonic() + seconds
    while (found := take_words(directory)) is None and time.monotonic() < deadline:
        time.sleep(0.05)
    return found
