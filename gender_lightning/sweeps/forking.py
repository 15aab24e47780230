"""The sweep's side of its fork server: jobs that need not import the libraries again."""

from __future__ import annotations

import ctypes
import json
import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from gender_lightning.job import JOB_VARIABLE, PARENT_VARIABLE
from gender_lightning.machine.hardware import VISIBLE
from gender_lightning.sweeps.fork_server import PROGRAM

log = logging.getLogger(__name__)
COMMAND = [sys.executable, "-m", PROGRAM]  # the beginning of a command line that a fork can run
SERVER = [sys.executable, "-m", "gender_lightning.sweeps.fork_server"]
# Libraries read the other variables when they are loaded, above all the number of threads (OMP_NUM_THREADS), so a job
# must have the same values as its server.
_OF_THE_JOB = (JOB_VARIABLE, PARENT_VARIABLE, VISIBLE)
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_PATIENCE = 2.0  # s, for the server to end by itself


class Adopted:
    """A child process that was forked by the server; the part of `subprocess.Popen` that a sweep needs."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while the process runs."""
        return self._reap(os.WNOHANG)

    def wait(self) -> int:
        """Wait for the end of the process; its exit code, negative for a signal."""
        code = self._reap(0)
        assert code is not None
        return code

    def _reap(self, options: int) -> int | None:
        if self._code is None:
            pid, status = os.waitpid(self.pid, options)
            self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code


class ForkServer:
    """A process that has loaded the libraries and starts jobs by fork.

    It is started by the main thread, since the kernel ends it with the thread that has started it. Its jobs are
    children of this process, which adopts orphans while a server is open.

    Args:
        environment: The environment that its jobs share.
        imports: Modules that its jobs import besides those of every training.

    Raises:
        OSError: This system cannot run such a server.
    """

    def __init__(self, environment: Mapping[str, str], imports: Sequence[str] = ()) -> None:
        if sys.platform != "linux":  # macOS's libraries do not survive a fork, and Windows has none
            raise OSError("jobs are forked on Linux only")
        self._common = _common(environment)
        self._lock = threading.Lock()
        self._wanted = True  # whether to warn if it does not answer
        _adopt_orphans(True)
        self._connection, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [*SERVER, str(theirs.fileno()), *imports],
                env={**self._common, PARENT_VARIABLE: str(os.getpid())},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # if an import fails, a fresh process reports it in the job's log
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._answers = self._connection.makefile("rb")

    def serves(self, command: Sequence[str], environment: Mapping[str, str]) -> bool:
        """Whether a fork can take the place of this command in this environment."""
        return list(command[: len(COMMAND)]) == COMMAND and _common(environment) == self._common

    def start(self, command: Sequence[str], environment: Mapping[str, str], output: Path) -> Adopted | None:
        """Start a job, in a session of its own; waits for the server to have loaded the libraries.

        Args:
            command: A command for which `serves` is true.
            environment: The whole environment of the job.
            output: The file to which all that it prints is appended.

        Returns:
            The job; None where the server has died or could not fork, and nothing was started.
        """
        request = {
            "arguments": list(command[len(COMMAND) :]),
            "environment": dict(environment),
            "output": str(output.absolute()),
        }
        with self._lock:
            pid = 0
            with suppress(OSError, ValueError):  # it has died, or was closed
                self._connection.sendall(json.dumps(request).encode() + b"\n")
                pid = int(self._answers.readline() or 0)
            if not pid and self._wanted:
                self._wanted = False
                log.warning("Jobs can no longer be forked: each is started as a fresh process, some seconds slower.")
        return Adopted(pid) if pid else None

    def kill(self) -> None:
        """End the server at once, but none of its jobs; a caller that waits for a job gets None."""
        self._wanted = False
        self._process.kill()

    def close(self) -> None:
        """End the server."""
        self._connection.shutdown(socket.SHUT_RDWR)
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:  # it is still importing
            self._process.kill()
            self._process.wait()
        with self._lock:
            self._answers.close()
            self._connection.close()
        _adopt_orphans(False)


def _common(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name not in _OF_THE_JOB}


def _adopt_orphans(wanted: bool) -> None:
    """Set whether processes whose parent ends become children of this one, rather than of the system's first.

    Raises:
        OSError: This system does not support it.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, int(wanted)):
        raise OSError(ctypes.get_errno(), "orphans cannot be adopted")
