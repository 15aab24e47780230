"""The first signal lets what is worth saving be saved, the second ends the program, and so does time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gender_lightning.interruption import Interrupted, Interruption

PROGRAM = """
import os, signal, sys, time
from pathlib import Path
from gender_lightning import interruption
from gender_lightning.interruption import Interruption

interruption.GRACE_SECONDS = float(sys.argv[2])
it = Interruption()
with it.listening(last_words=lambda: Path(sys.argv[1]).write_text("last words")):
    it.defers = True
    print("ready", flush=True)
    while True:
        time.sleep(60)
"""


def test_a_signal_ends_what_does_not_defer_it() -> None:
    it = Interruption()
    with pytest.raises(Interrupted) as stop, it.listening(["SIGTERM"]):  # noqa: PT012
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)
    assert stop.value.code == 143 and stop.value.name == "SIGTERM"


def test_who_defers_is_told_and_not_disturbed(capfd: pytest.CaptureFixture[str]) -> None:
    it, before = Interruption(), signal.getsignal(signal.SIGINT)
    with it.listening(["SIGINT"]):
        it.defers = True
        os.kill(os.getpid(), signal.SIGINT)
        assert it.number == signal.SIGINT
    assert signal.getsignal(signal.SIGINT) is before
    assert "SIGINT: the training saves and ends. A second signal ends it at once." in capfd.readouterr().err


def test_what_nohup_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interruption().listening(["SIGHUP", "SIGOFNOSYSTEM"]):
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(("grace", "signals"), [("600", [signal.SIGINT, signal.SIGINT]), ("0.2", [signal.SIGTERM])])
def test_a_second_signal_or_time_ends_it_with_its_last_words(
    tmp_path: Path, grace: str, signals: list[signal.Signals]
) -> None:
    words = tmp_path / "words"
    command = [sys.executable, "-c", PROGRAM, str(words), grace]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        for number in signals:
            assert not words.exists()
            process.send_signal(number)
            time.sleep(0.1)
        assert process.wait(60) == 128 + signals[-1]
    assert words.read_text() == "last words"


def test_a_child_that_was_forked_has_no_part_in_it() -> None:
    it = Interruption()
    with it.listening(["SIGTERM"]):
        child = os.fork()
        if child == 0:
            os.kill(os.getpid(), signal.SIGTERM)
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
