"""The child processes of a sweep: none outlives it, and one word ends them all."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from gender_lightning.job import PARENT_VARIABLE


class Stopped(Exception):
    """The sweep is being ended: nothing new is started."""


class Children:
    """Starts processes in groups of their own, so that a Ctrl-C on the terminal reaches the sweep alone.

    `stop` lets them save and end, `kill` ends them. Each group is swept away once its first process has ended:
    further ranks and data workers may have been left behind. A process must be started by a thread that stays
    until it has ended, because the kernel ends it with that thread (`gender_lightning.job.settle`).
    """

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()

    def run(self, command: Sequence[str], environment: Mapping[str, str], output: Path) -> int:
        """Run a command to its end, all that it prints appended to `output`; returns its exit code.

        Raises:
            Stopped: nothing was started, since the sweep is being ended.
        """
        with output.open("ab") as file, self._lock:
            if self.stopping.is_set():
                raise Stopped
            process = subprocess.Popen(
                command,
                env={**environment, PARENT_VARIABLE: str(os.getpid())},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self._running.add(process)
        try:
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # until it is reaped, its number is its own
        finally:
            with self._lock:
                self._running.discard(process)
                _signal_group(process, signal.SIGKILL)
            process.wait()
        return process.returncode

    def stop(self) -> None:
        """Start nothing more, and let what runs save and end."""
        self.stopping.set()
        with self._lock:
            for process in self._running:
                # to the first process only: data workers that die would make it fail instead of ending well
                os.kill(process.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End everything now."""
        self.stopping.set()
        with self._lock:
            for process in self._running:
                _signal_group(process, signal.SIGKILL)


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # the latter on macOS, where only a zombie is left
        os.killpg(process.pid, number)
