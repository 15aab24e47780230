"""run.json tells when the first step was done, and not when it began, where it is long."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
from toy_training import fit

from gender_lightning.runs import Run
from gender_lightning.training.callbacks import first_step as module
from gender_lightning.training.callbacks.first_step import FirstStep


class Slow(pl.Callback):
    """Lets the first graph take four minutes to compile, and an update of the weights a second."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
        self.now, self.compiled, self.run, self.written = 5, False, run, list[bool]()
        monkeypatch.setattr(module, "_now", lambda: f"{self.now} s")

    def on_before_backward(self, *args: Any) -> None:
        self.now += 1 if self.compiled else 240
        self.compiled = True
        self.written.append("first_step" in self.run.info())

    def on_before_optimizer_step(self, *args: Any) -> None:
        self.now += 1


@pytest.mark.parametrize(("accumulated", "done"), [(1, "246 s"), (2, "245 s")])
def test_the_first_step_is_done_after_its_compilation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accumulated: int, done: str
) -> None:
    run = Run(tmp_path / "run")
    run.path.mkdir()
    slow = Slow(monkeypatch, run)
    fit(tmp_path / "fit", epochs=2, extra=[slow, FirstStep(run)], accumulate_grad_batches=accumulated)
    assert slow.written == [False, *[True] * 9], "not while the first batch is on its way, and once"
    assert (run.info()["first_batch"], run.info()["first_step"]) == ("5 s", done)
