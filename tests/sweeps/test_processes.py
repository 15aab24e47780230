"""No process of a sweep outlives it, whatever ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gender_lightning.sweeps.pool import work_off
from gender_lightning.sweeps.processes import Children, Stopped
from gender_lightning.sweeps.slots import Slot

# says its number and that of a child of its own; saves when it is asked to end
TRIAL = """
import pathlib, signal, subprocess, sys, time
from gender_lightning.job import settle
settle()
def save(*_): pathlib.Path(sys.argv[1] + '.saved').touch(); sys.exit(143)
signal.signal(signal.SIGTERM, {handler})
code = 'from gender_lightning.job import settle; import time; settle(); time.sleep(60)'
child = subprocess.Popen([sys.executable, '-c', code])
time.sleep(0.3)
import os
pathlib.Path(sys.argv[1]).write_text(f'{{os.getpid()}} {{child.pid}}')
time.sleep(60)
"""


def command(place: Path, handler: str = "save") -> list[str]:
    return [sys.executable, "-c", TRIAL.format(handler=handler), str(place)]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def until(condition: Callable[[], bool]) -> None:
    for _ in range(200):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("it did not happen")


def pids(place: Path) -> list[int]:
    until(lambda: place.exists() and len(place.read_text().split()) == 2)
    return [int(word) for word in place.read_text().split()]


@pytest.fixture(params=["waitid", "without"])
def waiting(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also as on macOS before Python 3.13, which has no `os.waitid`."""
    if request.param == "without":
        monkeypatch.delattr(os, "waitid", raising=False)


@pytest.mark.usefixtures("waiting")
@pytest.mark.parametrize(("interrupts", "handler", "saved"), [(1, "save", True), (2, "signal.SIG_IGN", False)])
def test_one_interrupt_lets_them_save_and_two_end_them(
    tmp_path: Path, interrupts: int, handler: str, saved: bool
) -> None:
    place, children, codes = tmp_path / "pids", Children(), []

    def work(slot: Slot) -> None:
        codes.append(children.run(command(place, handler), dict(os.environ), tmp_path / "log.txt"))

    def interrupt() -> None:
        numbers.extend(pids(place))
        for _ in range(interrupts):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)

    numbers: list[int] = []
    thread = threading.Thread(target=interrupt)
    thread.start()
    assert work_off([Slot(0)], work, children, lambda: None)
    thread.join()
    until(lambda: not any(alive(number) for number in numbers))
    assert codes == [143 if saved else -9] and Path(f"{place}.saved").exists() == saved
    with pytest.raises(Stopped):
        children.run(["true"], {}, tmp_path / "log.txt")


def test_a_killed_sweep_takes_all_with_it(tmp_path: Path) -> None:
    place = tmp_path / "pids"
    code = (
        "import os, sys; from pathlib import Path; from gender_lightning.sweeps.processes import Children;"
        f"Children().run({command(place)!r}, dict(os.environ), Path({str(tmp_path / 'log.txt')!r}))"
    )
    sweep = subprocess.Popen([sys.executable, "-c", code])
    numbers = pids(place)
    sweep.kill()
    sweep.wait()
    until(lambda: not any(alive(number) for number in numbers))


@pytest.mark.usefixtures("waiting")
def test_what_is_left_of_a_job_is_swept_away(tmp_path: Path) -> None:
    code = "import subprocess, sys; open(sys.argv[1], 'w').write(str(subprocess.Popen(['sleep', '60']).pid))"
    assert (
        Children().run([sys.executable, "-c", code, str(tmp_path / "pid")], dict(os.environ), tmp_path / "log.txt") == 0
    )
    until(lambda: not alive(int((tmp_path / "pid").read_text())))


def test_an_error_of_ours_stops_the_others(tmp_path: Path) -> None:
    children = Children()

    def work(slot: Slot) -> None:
        if slot.number == 1:
            raise RuntimeError("ours")
        children.run(["sleep", "60"], dict(os.environ), tmp_path / "log.txt")

    with pytest.raises(RuntimeError, match="ours"):
        work_off([Slot(0), Slot(1)], work, children, lambda: None)
