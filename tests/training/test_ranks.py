"""Further processes of a training: they wait for the first one, and leave at once where they fail."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gender_lightning import runs
from gender_lightning.errors import UserError
from gender_lightning.runs import Run
from gender_lightning.training.ranks import take_words, wait_for_first_process

FAILING = """
import atexit, sys, time
from pathlib import Path
from gender_lightning.errors import UserError
from gender_lightning.runs import Run
from gender_lightning.training.ranks import OtherRankFailed, one_report

atexit.register(time.sleep, 60)  # as torch waits for the other processes
with one_report(Run(Path(sys.argv[1]))):
    raise {error}
"""


def begin(run: Run, variable: str) -> None:
    os.environ.pop(variable)
    run.path.mkdir()
    (run.path / "config.yaml").write_text("seed: 1\n")
    run.update(status="running")
    time.sleep(0.4)
    run.update(trainer={})


# those of torchrun, of Lightning's own processes, of srun, and of a process on another machine
@pytest.mark.parametrize("variable", ["RANK", "LOCAL_RANK", "SLURM_PROCID", "NODE_RANK"])
def test_a_further_process_waits_until_the_training_has_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    run = Run(tmp_path / "run")
    for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID", "NODE_RANK"):
        monkeypatch.setenv(name, "0")
    monkeypatch.setenv(variable, "1")
    with pytest.raises(UserError, match="this process has waited 0 minutes for its run.json") as caught:
        wait_for_first_process(run, seconds=0.1)
    assert caught.value.field == "run_dir"
    first = threading.Timer(0.3, begin, [run, variable])
    monkeypatch.setattr(runs, "is_first_process", lambda: True)
    first.start()
    wait_for_first_process(run, seconds=30)
    assert "trainer" in run.info()
    first.join()
    monkeypatch.setenv(variable, "0")
    wait_for_first_process(Run(tmp_path / "another"), seconds=0)


@pytest.mark.parametrize(
    ("error", "code", "word"),
    [
        ("UserError('It is broken.', 'Repair it.')", 2, "Process 1: It is broken. Repair it."),
        pytest.param("ValueError('a bug')", 1, "Process 1: ValueError: a bug", marks=pytest.mark.slow),
        pytest.param("OtherRankFailed", 1, None, marks=pytest.mark.slow),
    ],
)
def test_a_failing_process_leaves_word_and_ends_without_its_exit_handlers(
    tmp_path: Path, error: str, code: int, word: str | None
) -> None:
    command = [sys.executable, "-c", FAILING.format(error=error), str(tmp_path)]
    environment = {**os.environ, "RANK": "1", "LOCAL_RANK": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=50)
    assert done.returncode == code
    assert take_words(tmp_path) == word
    assert ("Traceback" in done.stderr) == (error.startswith("ValueError"))
    assert ("It is broken." in done.stderr) == (code == 2)
