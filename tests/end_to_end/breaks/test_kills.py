"""A random kill, and the training ends as if it had not been: `kills.py` does any number over all settings."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

KILLS = Path(__file__).with_name("kills.py")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_random_kills_change_nothing() -> None:
    seed = random.SystemRandom().randrange(10**6)  # other moments each time; the output tells which
    command = [sys.executable, str(KILLS), "--kills", "1", "--seed", str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=850)
    assert done.returncode == 0, f"seed {seed}: {done.stderr}"
    *reports, summary = done.stdout.splitlines()
    assert not any(json.loads(report)["different"] for report in reports), f"seed {seed}: {done.stdout}"
    assert "0 of them different" in summary
