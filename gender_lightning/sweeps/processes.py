"""The child processes of a sweep: none outlives it, and one call ends them all."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from gender_lightning.job import PARENT_VARIABLE
from gender_lightning.sweeps.forking import Adopted, ForkServer

Process = subprocess.Popen[bytes] | Adopted
_POLL_SECONDS = 0.05
_REAP_SECONDS = 5.0


class Stopped(Exception):
    """The sweep is being ended: nothing new is started."""


class Children:
    """Starts processes in groups of their own, so that a Ctrl-C on the terminal reaches the sweep alone.

    `stop` lets them save and end, `kill` ends them. Each group is killed once its first process has ended, since other
    ranks and data workers may be left. A fresh process must be started by a thread that lives until it has ended,
    because the kernel ends it with that thread (`gender_lightning.job.settle`).

    Args:
        servers: Fork servers for the commands that they can serve; all others are started as fresh processes.
    """

    def __init__(self, servers: Sequence[ForkServer] = ()) -> None:
        self.stopping = threading.Event()
        self._servers = servers
        self._lock = threading.Lock()
        self._running: set[Process] = set()

    def run(self, command: Sequence[str], environment: Mapping[str, str], output: Path) -> int:
        """Run a command to its end, all that it prints appended to `output`.

        Returns:
            Its exit code; negative if a signal ended it.

        Raises:
            Stopped: Nothing was started, since the sweep is being ended.
        """
        process = self._start(command, {**environment, PARENT_VARIABLE: str(os.getpid())}, output)
        self._wait(process)
        code = process.wait()
        if self._servers:
            _reap_adopted(process.pid)
        return code

    def stop(self) -> None:
        """Start nothing more, and let running processes save and end."""
        self.stopping.set()
        for server in self._servers:  # so that no thread waits any longer for it to get ready
            server.kill()
        with self._lock:
            for process in self._running:
                # only the first process gets the signal: if its data workers died, it would fail instead of saving
                os.kill(process.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End everything now."""
        self.stopping.set()
        with self._lock:
            for process in self._running:
                _signal_group(process, signal.SIGKILL)

    def _start(self, command: Sequence[str], environment: Mapping[str, str], output: Path) -> Process:
        with output.open("ab") as file:
            process = self._fork(command, environment, output)
            with self._lock:
                if self.stopping.is_set():
                    if process is not None:  # the sweep was interrupted while it was being started
                        _signal_group(process, signal.SIGKILL)
                        process.wait()
                    raise Stopped
                if process is None:
                    process = subprocess.Popen(
                        command,
                        env=environment,
                        stdin=subprocess.DEVNULL,
                        stdout=file,
                        stderr=subprocess.STDOUT,
                        start_new_session=True,
                    )
                self._running.add(process)
        return process

    def _fork(self, command: Sequence[str], environment: Mapping[str, str], output: Path) -> Process | None:
        server = next((server for server in self._servers if server.serves(command, environment)), None)
        if server is None or self.stopping.is_set():
            return None
        return server.start(command, environment, output)

    def _wait(self, process: Process) -> None:
        """Wait for a process to end, and kill its group before its number can become another's."""
        if not hasattr(os, "waitid"):  # macOS before Python 3.13
            while not self._has_ended(process):
                time.sleep(_POLL_SECONDS)
            return
        try:
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # until it is reaped, its number is its own
        finally:
            with self._lock:
                self._running.discard(process)
                _signal_group(process, signal.SIGKILL)

    def _has_ended(self, process: Process) -> bool:
        with self._lock:  # `stop` and `kill` must not signal a number that has just been given back
            if process.poll() is None:
                return False
            self._running.discard(process)
            # as long as anything of the group is left, the system gives its number to no other process
            _signal_group(process, signal.SIGKILL)
            return True


def _signal_group(process: Process, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # the latter on macOS, where only a zombie is left
        os.killpg(process.pid, number)


def _reap_adopted(group: int) -> None:
    """Collect the exit codes of a job's remaining processes, which this process has adopted and killed."""
    deadline = time.monotonic() + _REAP_SECONDS
    with suppress(ChildProcessError):
        while time.monotonic() < deadline:
            if not os.waitpid(-group, os.WNOHANG)[0]:
                time.sleep(_POLL_SECONDS)
