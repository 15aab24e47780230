"""A loader's process answers to the training alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from gender_lightning.job import obey_parent_alone


def _child(ready: int) -> int:
    child = os.fork()
    if child == 0:
        obey_parent_alone()
        os.write(ready, b"x")
        time.sleep(60)
        os._exit(3)
    return child


@pytest.mark.skipif(not hasattr(signal, "sigwaitinfo"), reason="this system does not say who has sent a signal")
def test_a_signal_of_a_stranger_is_ignored_and_the_parents_obeyed() -> None:
    reading, ready = os.pipe()
    child = _child(ready)
    assert os.read(reading, 1) == b"x"
    for name in ("TERM", "INT", "USR1"):  # from another process, as a scheduler sends it
        subprocess.run([sys.executable, "-c", f"import os, signal; os.kill({child}, signal.SIG{name})"], check=True)
    time.sleep(0.2)
    assert os.waitpid(child, os.WNOHANG) == (0, 0)
    os.kill(child, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
