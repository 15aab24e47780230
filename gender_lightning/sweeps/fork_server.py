"""The fork server of a sweep: it imports the libraries once and turns a fork of itself into each job.

It is run as `python -m gender_lightning.sweeps.fork_server DESCRIPTOR` by `gender_lightning.sweeps.forking`, and talks
to nothing else. A job differs from a fresh process only in its age: the server opens no GPU, starts no thread and no
W&B run, sets up no logging and draws no random number, and each job forks from that same state.

A job is a child of the sweep, not of the server: it is forked twice, and the sweep adopts it when the process in
between ends (`PR_SET_CHILD_SUBREAPER`). The sweep waits for it, signals it and sees its exit code as with any other
child, and a server that dies takes no job with it.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import socket
import sys
import time
from collections.abc import Sequence
from typing import Any

from gender_lightning.job import settle

PROGRAM = "gender_lightning"
# Modules by name, since this package may not import the commands, which only have to be loaded here. Pandas is left
# out, since pyarrow starts a thread when it is imported; W&B, since it keeps the id of the process that imports it.
PRELOADED = ("gender_lightning.commands.train", "gender_lightning.overrides", "hydra.utils", "timm")
_LEFT_OUT = "wandb"


def main() -> None:
    """Serve until the sweep closes the connection; in a job, continue as `python -m gender_lightning`."""
    settle()
    connection = socket.socket(fileno=int(sys.argv[1]))
    environment = dict(os.environ)
    preload(sys.argv[2:])
    request = serve(connection)
    if request is not None:
        become_job(request, environment)
        arguments = [str(argument) for argument in request["arguments"]]
        sys.argv[1:] = arguments
        sys.orig_argv[1:] = ["-m", PROGRAM, *arguments]
        try:
            runpy.run_module(PROGRAM, run_name="__main__", alter_sys=True)
        finally:
            gc.unfreeze()  # libraries report what the interpreter, at its end, has not collected (triton's nanobind)


def preload(more: Sequence[str] = ()) -> None:
    """Import what every job needs, but nothing that would not survive a fork."""
    sys.modules[_LEFT_OUT] = None  # type: ignore[assignment]  # timm imports it if it is installed
    try:
        for name in (*PRELOADED, *more):
            importlib.import_module(name)
    finally:
        del sys.modules[_LEFT_OUT]
    gc.collect()
    gc.freeze()  # otherwise each job's first collections would copy the pages that all of them share


def serve(connection: socket.socket) -> dict[str, Any] | None:
    """Fork a job for each request: a line of JSON with `arguments`, `environment` and `output`.

    Args:
        connection: The connection to the sweep. The answer is the job's process id, or 0 if no process could be forked.

    Returns:
        In a job, its request; in the server None, once the sweep has closed the connection.
    """
    with connection, connection.makefile("rb") as requests:
        for line in requests:
            middle = _fork()
            if middle == 0:
                _fork_again(connection)
                request: dict[str, Any] = json.loads(line)
                return request
            if middle is None:
                connection.sendall(b"0\n")
            else:
                os.waitpid(middle, 0)
    return None


def _fork() -> int | None:
    try:
        return os.fork()
    except OSError:  # no memory, or the limit of processes is reached
        return None


def _fork_again(connection: socket.socket) -> None:
    """Return in a new process, which the sweep has adopted and knows about; the present one ends."""
    middle = os.getpid()
    job = _fork()
    if job != 0:
        if job is None:
            connection.sendall(b"0\n")
        os._exit(0)
    while os.getppid() == middle:  # the kernel gives it to the sweep when `middle` has ended
        time.sleep(0.001)
    os.setsid()
    connection.sendall(b"%d\n" % os.getpid())  # before anything that could fail: the sweep waits for this answer


def become_job(request: dict[str, Any], started_with: dict[str, str]) -> None:
    """Give this process what a fresh one would have: its log, its environment, random numbers of its own.

    Args:
        request: The request that `serve` has returned.
        started_with: The server's environment before it imported anything. Variables that imports have added since are
            kept, since the imports would have added them in the job as well.
    """
    output = os.open(request["output"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    os.close(output)
    environment = request["environment"]
    for name in started_with.keys() - environment.keys():
        os.environ.pop(name, None)
    os.environ.update({name: value for name, value in environment.items() if started_with.get(name) != value})
    # Python has reseeded its own generator; these two hold the seed that the server drew when it imported them
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    if "torch" in sys.modules:
        sys.modules["torch"].default_generator.seed()


if __name__ == "__main__":
    main()
