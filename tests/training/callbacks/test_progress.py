"""What a person sees: a bar on a terminal, a line per epoch in a file."""

from __future__ import annotations

import io
import math
import re
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from rich.console import Console
from toy_training import BATCHES, Toy, fit, loader

from gender_lightning.training.callbacks import progress
from gender_lightning.training.callbacks.progress import ProgressBar
from gender_lightning.training.callbacks.remaining import RemainingTime, clock
from gender_lightning.training.callbacks.throughput import Throughput


def shown(folder: Path, *, terminal: bool, monkeypatch: pytest.MonkeyPatch, **options: Any) -> tuple[str, Any]:
    monkeypatch.setattr(progress, "REFRESH_SECONDS", options.pop("every", 0.0))
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=200, color_system=None)
    throughput = Throughput()
    done = fit(folder, extra=[throughput, ProgressBar(throughput, console)], **options)
    return text.getvalue(), done


def test_a_file_gets_one_line_per_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text, done = shown(tmp_path, terminal=False, monkeypatch=monkeypatch, module=Toy(scores=(0.1, 0.2, 0.3, 0.4)))
    done.trainer.test(done.module, loader(3), verbose=False)
    lines = text.splitlines()
    pattern = (
        r"epoch {}/4  loss \d\.\d{{4}}  val/accuracy 0\.{}000  val/loss \d\.\d{{4}}  \d+ images/s"
        r"  elapsed 0:00:\d\d  left 0:00:\d\d"
    )
    assert len(lines) == 4
    for number, line in enumerate(lines, start=1):
        assert re.fullmatch(pattern.format(number, number), line), line
    assert lines[-1].endswith("left 0:00:00")


def test_an_epoch_without_a_validation_shows_no_former_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text, _ = shown(tmp_path, terminal=False, monkeypatch=monkeypatch, check_val_every_n_epoch=2)
    assert ["val/accuracy" in line for line in text.splitlines()] == [False, True, False, True]


def test_a_terminal_gets_a_bar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text, _ = shown(tmp_path, terminal=True, monkeypatch=monkeypatch, module=Toy(scores=(0.25,) * 4))
    assert re.search(r"epoch 2/4 .*3/5  \d+ images/s  left 0:00:\d\d  loss \d\.\d{4}  val/accuracy 0\.2500", text)
    assert "validating" in text
    assert text.count("elapsed") == 4


def test_test_and_prediction_have_bars_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "REFRESH_SECONDS", 0.0)
    text = io.StringIO()
    bar = ProgressBar(Throughput(), Console(file=text, force_terminal=True, width=200))
    trainer = pl.Trainer(accelerator="cpu", callbacks=[bar], logger=False, default_root_dir=tmp_path)
    trainer.test(Toy(), loader(1), verbose=False)
    trainer.predict(Toy(), loader(1), return_predictions=False)
    assert "testing" in text.getvalue()
    assert "predicting" in text.getvalue()
    assert f"{BATCHES}/{BATCHES}" in text.getvalue()


def test_the_loss_is_read_only_when_the_bar_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = 0
    item = torch.Tensor.item

    def counted(self: torch.Tensor) -> Any:
        nonlocal reads
        reads += self.dim() == 0 and self.device.type == "cpu"
        return item(self)

    def of_a_fit(every: float) -> int:
        nonlocal reads
        reads = 0
        with monkeypatch.context() as patch:
            patch.setattr(torch.Tensor, "item", counted)
            shown(tmp_path / str(every), terminal=True, monkeypatch=patch, every=every)
        return reads

    assert of_a_fit(0.0) - of_a_fit(1e9) == 4 * BATCHES


def test_a_disabled_bar_is_silent(tmp_path: Path) -> None:
    text = io.StringIO()
    bar = ProgressBar(Throughput(), Console(file=text, force_terminal=True))
    bar.disable()
    fit(tmp_path, epochs=1, extra=[bar])
    assert text.getvalue() == ""


def test_an_error_gives_the_terminal_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Toy):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            raise RuntimeError("broken")

    text = io.StringIO()
    console = Console(file=text, force_terminal=True)
    with pytest.raises(RuntimeError, match="broken"):
        fit(tmp_path, module=Broken(), extra=[ProgressBar(Throughput(), console)])
    assert text.getvalue().rstrip().endswith("\x1b[?25h") or "\x1b[?25h" in text.getvalue()


def test_the_time_left_counts_batches_and_validations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gender_lightning.training.callbacks import remaining

    now = 0.0
    monkeypatch.setattr(remaining.time, "monotonic", lambda: now)
    time_left = RemainingTime()
    seen = []

    class Watch(pl.Callback):
        def on_train_start(self, *args: Any) -> None:
            time_left.start()

        def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
            nonlocal now
            now += 2
            time_left.trained(trainer)
            seen.append(time_left.seconds(trainer))

        def on_validation_end(self, trainer: pl.Trainer, *args: Any) -> None:
            nonlocal now
            now += 30
            time_left.validated(trainer, 30.0)

        def on_train_epoch_end(self, *args: Any) -> None:
            nonlocal now
            now += 100
            time_left.epoch_ended()

    fit(tmp_path, epochs=3, extra=[Watch()])
    epochs = [[2.0 * (15 - done) for done in range(first, first + 5)] for first in (1, 6, 11)]
    assert seen[:5] == pytest.approx(epochs[0])  # no validation was seen yet
    assert seen[5:10] == pytest.approx([seconds + 60 for seconds in epochs[1][:4]] + [epochs[1][4] + 30])
    assert seen[14] == pytest.approx(0.0)


def test_the_time_left_knows_that_later_images_are_larger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gender_lightning.training.callbacks import remaining

    now = 0.0
    monkeypatch.setattr(remaining.time, "monotonic", lambda: now)
    time_left = RemainingTime()
    seen = []

    class Growing(Toy):  # two epochs at half the side, so at a quarter of the cost, and two at the full size
        def step_costs(self) -> tuple[float, float]:
            done = self.current_epoch * 5 + self.trainer.fit_loop.batch_idx
            small = max(0, 10 - done)
            return 0.25 if small else 1.0, (small * 0.25 + min(10, 20 - done)) / (20 - done)

    class Watch(pl.Callback):
        def on_train_start(self, *args: Any) -> None:
            time_left.start()

        def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
            nonlocal now
            now += 4 * trainer.lightning_module.step_costs()[0]
            time_left.trained(trainer)
            seen.append((trainer.lightning_module.current_epoch, time_left.seconds(trainer)))

        def on_train_epoch_end(self, *args: Any) -> None:
            time_left.epoch_ended()

    fit(tmp_path, epochs=4, module=Growing(), extra=[Watch()])
    # 20 batches are 10 seconds and 40 seconds; the batch that just ended counts as one to come in the mean alone
    assert seen[0][1] == pytest.approx(49, abs=2)
    assert seen[9][1] == pytest.approx(40, abs=3)
    assert [seconds for _, seconds in seen[10:]] == pytest.approx([4.0 * left for left in range(9, -1, -1)], abs=1e-6)


def test_clock() -> None:
    assert clock(3723.4) == "1:02:03"
    assert clock(math.nan) == clock(math.inf) == "-"
