"""A job that the fork server starts is what a fresh process would be, and nothing of it outlives the sweep."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gender_lightning.sweeps import forking
from gender_lightning.sweeps.forking import COMMAND, Adopted, ForkServer
from gender_lightning.sweeps.pool import work_off
from gender_lightning.sweeps.processes import Children, Stopped
from gender_lightning.sweeps.slots import Slot

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="jobs are forked on Linux only")
# A server that loads nothing, and whose jobs run a small program instead of a training.
SERVER = """
from gender_lightning.sweeps import fork_server
fork_server.PRELOADED, fork_server.PROGRAM = (), "program"
fork_server.main()
"""
STATE = """
import atexit, gc, json, locale, logging, multiprocessing, os, random, resource, signal, sys, threading, warnings
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
main = sys.modules["__main__"]
state = {
    "arguments": [sys.argv, sys.orig_argv[1:], main.__spec__.name, main.__file__, sys.path, str(sys.flags)],
    "place": [os.getcwd(), os.umask(0o22), os.nice(0), sorted(os.sched_getaffinity(0))],
    "environment": dict(os.environ),
    "signals": [status[name] for name in ("SigIgn", "SigCgt", "SigBlk", "SigPnd")],
    "handlers": [str(signal.getsignal(number)) for number in sorted(signal.valid_signals())],
    "limits": [resource.getrlimit(getattr(resource, name)) for name in dir(resource) if name.startswith("RLIMIT")],
    "tree": [os.getppid(), os.getsid(0) == os.getpgrp() == os.getpid(), len(threading.enumerate())],
    "multiprocessing": [multiprocessing.get_start_method(), str(multiprocessing.current_process())],
    "logging": [logging.root.level, str(logging.root.handlers), str(warnings.filters)],
    "locale": [locale.setlocale(locale.LC_ALL), sys.stdout.encoding, sys.stdout.errors, sys.stderr.errors],
    "stdio": [sys.stdin.read(), sys.stdout.isatty(), sys.stdout.line_buffering, sys.stderr.line_buffering],
    "descriptors": [os.readlink(f"/proc/self/fd/{number}") for number in range(3)],
    "open": len(os.listdir("/proc/self/fd")),
    "atexit": atexit._ncallbacks(),
}
print(json.dumps(state))
print(random.random(), file=sys.stderr)
atexit.register(lambda: print("the end", gc.get_freeze_count()))
sys.exit(3)
"""


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    (tmp_path / "small_server.py").write_text(SERVER)
    monkeypatch.setattr(forking, "SERVER", [sys.executable, "-m", "small_server"])
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path, "OF_SWEEP": "1"}


@pytest.fixture
def server(environment: dict[str, str]) -> Iterator[ForkServer]:
    opened = ForkServer(environment)
    yield opened
    opened.close()


def program(tmp_path: Path, code: str) -> list[str]:
    (tmp_path / "program.py").write_text(code)
    return [*COMMAND, "train", "seed=1", "a='b c'"]


def test_a_forked_job_is_as_a_fresh_one(server: ForkServer, environment: dict[str, str], tmp_path: Path) -> None:
    command, of_job = program(tmp_path, STATE), {**environment, "CUDA_VISIBLE_DEVICES": "3", "GENDER_LIGHTNING_JOB": ""}
    log = tmp_path / "log.txt"
    said = []
    for start in (command, command, [sys.executable, "-m", "program", *command[3:]]):
        log.unlink(missing_ok=True)
        assert Children([server]).run(start, of_job, log) == 3
        state, draw, end = log.read_text().splitlines()
        assert end == "the end 0"
        said.append((json.loads(state), draw))
    forked, again, fresh = said
    assert forked[0] == again[0] == fresh[0]
    assert forked[0]["tree"][0] == os.getpid() and forked[0]["environment"]["CUDA_VISIBLE_DEVICES"] == "3"
    assert len({draw for _, draw in said}) == 3  # each has random numbers of its own


@pytest.mark.parametrize(("end", "code"), [("raise ValueError('why')", 1), ("os.kill(os.getpid(), 9)", -9)])
def test_how_a_forked_job_ends(
    server: ForkServer, environment: dict[str, str], tmp_path: Path, end: str, code: int
) -> None:
    log = tmp_path / "log.txt"
    assert Children([server]).run(program(tmp_path, f"import os\n{end}"), environment, log) == code
    assert ("ValueError: why" in log.read_text()) == (code == 1)


def test_only_what_agrees_with_the_server_is_forked(server: ForkServer, environment: dict[str, str]) -> None:
    assert server.serves([*COMMAND, "train"], {**environment, "CUDA_VISIBLE_DEVICES": "1"})
    assert not server.serves([*COMMAND, "train"], {**environment, "OMP_NUM_THREADS": "17"})  # it is read when it loads
    assert not server.serves(["true"], environment)


def test_a_dead_server_takes_no_job_with_it_and_the_next_is_fresh(
    server: ForkServer, environment: dict[str, str], tmp_path: Path
) -> None:
    command = program(tmp_path, "import sys, time\nprint('begun', flush=True)\ntime.sleep(1)\nsys.exit(5)")
    children, log, codes = Children([server]), tmp_path / "log.txt", []
    thread = threading.Thread(target=lambda: codes.append(children.run(command, environment, log)))
    thread.start()
    until(lambda: log.exists() and "begun" in log.read_text())
    server.kill()
    thread.join()
    assert codes == [5]
    assert server.start(command, environment, log) is None
    assert children.run([*COMMAND, "--version"], environment, tmp_path / "version") == 0  # the real program
    assert "gender-lightning" in (tmp_path / "version").read_text()


def test_a_server_that_cannot_import_is_done_without(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(forking, "SERVER", [sys.executable, "-c", "import no_such_module"])
    server = ForkServer(environment)
    for _ in range(2):
        assert Children([server]).run([*COMMAND, "--version"], environment, tmp_path / "log.txt") == 0
    assert [message.levelname for message in caplog.records] == ["WARNING"]  # it is said once
    server.close()


def test_an_interrupt_does_not_wait_for_the_server(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forking, "SERVER", [sys.executable, "-c", "import time; time.sleep(600)"])
    server = ForkServer(environment)
    children, began = Children([server]), time.monotonic()

    def work(slot: Slot) -> None:
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(Stopped):
            children.run([*COMMAND, "train"], environment, tmp_path / "log.txt")

    assert work_off([Slot(0)], work, children, lambda: None)
    server.close()
    assert time.monotonic() - began < 120


PRELOADS = """
import os, sys
from gender_lightning.sweeps.fork_server import preload
preload()
import torch
job = os.fork()
if job == 0:
    os._exit(torch.cuda._is_in_bad_fork())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(job, 0)[1]))
"""


def test_the_imports_of_a_server_leave_the_gpus_to_its_jobs() -> None:
    """A library that asks CUDA for its devices when it is imported would make torch refuse every GPU after the fork."""
    assert subprocess.run([sys.executable, "-c", PRELOADS], capture_output=True, timeout=300).returncode == 0


def test_what_a_forked_job_leaves_behind_is_ended_and_reaped(
    server: ForkServer, environment: dict[str, str], tmp_path: Path
) -> None:
    code = "import subprocess\nprint(subprocess.Popen(['sleep', '60']).pid)"
    assert Children([server]).run(program(tmp_path, code), environment, tmp_path / "log.txt") == 0
    assert not Path(f"/proc/{int((tmp_path / 'log.txt').read_text())}").exists()  # not even as a zombie


def test_a_killed_sweep_takes_server_and_jobs_with_it(environment: dict[str, str], tmp_path: Path) -> None:
    command = program(tmp_path, "from gender_lightning.job import settle\nsettle()\nimport os, time\n"
                      "print(os.getpid(), flush=True)\ntime.sleep(60)")  # fmt: skip
    log = tmp_path / "log.txt"
    code = (
        "import os; from pathlib import Path; from gender_lightning.sweeps import forking;"
        "from gender_lightning.sweeps.processes import Children;"
        f"forking.SERVER[:] = {forking.SERVER!r}; server = forking.ForkServer(os.environ);"
        "print(server._process.pid, flush=True);"
        f"Children([server]).run({command!r}, dict(os.environ), Path({str(log)!r}))"
    )
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True) as sweep:
        assert sweep.stdout is not None
        numbers = [int(sweep.stdout.readline())]
        until(lambda: log.exists() and log.read_text().endswith("\n"))
        numbers.append(int(log.read_text()))
        sweep.kill()
    until(lambda: not any(Path(f"/proc/{number}/cmdline").exists() and alive(number) for number in numbers))


def test_an_adopted_process_says_its_code_as_often_as_asked() -> None:
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 7"], {})
    process = Adopted(pid)
    assert [process.wait(), process.poll(), process.wait()] == [7, 7, 7]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def until(condition: object) -> None:
    assert callable(condition)
    for _ in range(300):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("it did not happen")
