"""A loader's process answers to the training alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

CHILD = """
import time
from gender_lightning.job import obey_parent_alone
obey_parent_alone()
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(not hasattr(signal, "sigwaitinfo"), reason="this system does not say who has sent a signal")
def test_a_signal_of_a_stranger_is_ignored_and_the_parents_obeyed() -> None:
    with subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
        for name in ("TERM", "INT", "USR1"):  # from another process, as a scheduler sends it
            code = f"import os, signal; os.kill({child.pid}, signal.SIG{name})"
            subprocess.run([sys.executable, "-c", code], check=True)
        time.sleep(0.2)
        assert child.poll() is None
        until = time.monotonic() + 30
        while child.poll() is None and time.monotonic() < until:
            os.kill(child.pid, signal.SIGTERM)  # signals of one kind that come together are one, of either sender
            time.sleep(0.1)
        assert child.wait(1) == 0
