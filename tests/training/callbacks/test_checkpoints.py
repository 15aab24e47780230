"""best.ckpt is the best epoch, last.ckpt goes on exactly, and a file is whole or absent."""

from __future__ import annotations

import errno
import math
import os
import resource
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from toy_training import BATCHES, COSINE, PLATEAU, Fit, Toy, fit

from gender_lightning.errors import UserError
from gender_lightning.interruption import Interrupted, Interruption
from gender_lightning.models.checkpoints.checkpoint import read_checkpoint
from gender_lightning.training.callbacks.checkpoints import Checkpoints, Rhythm
from gender_lightning.training.callbacks.early_stopping import EarlyStopping
from gender_lightning.training.logs.metrics_csv import read_rows


@pytest.mark.parametrize(
    ("scores", "mode", "best"),
    [
        ((0.1, 0.9, 0.5, 0.2), "max", 1),
        ((0.1, 0.9, 0.05, 0.2), "min", 2),
        ((math.nan, 0.3, math.nan, 0.2), "max", 1),
        ((math.nan, math.nan, math.nan, math.nan), "max", 3),
    ],
)
def test_best_is_the_best_epoch(tmp_path: Path, scores: tuple[float, ...], mode: str, best: int) -> None:
    done = fit(tmp_path, module=Toy(scores=scores), mode=mode)
    assert done.checkpoints.best_epoch == best
    spec, weights = read_checkpoint(done.checkpoints.best_path)
    assert spec == done.module.spec
    assert all(torch.equal(weights[name], value) for name, value in done.module.validated[best].items())
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt", "previous.ckpt"]


class Growing(Toy):
    """The images of the first two epochs are smaller, and easier, than the others."""

    @property
    def image_size(self) -> int | None:
        return 4 if self.current_epoch < 2 else None


@pytest.mark.parametrize(("scores", "best"), [((0.8, 0.9, 0.3, 0.2), 2), ((0.8, 0.9, 0.3, 0.4), 3), ((0.9, 0.8), 0)])
def test_a_score_of_smaller_images_is_not_the_best_of_larger_ones(
    tmp_path: Path, scores: tuple[float, ...], best: int
) -> None:
    assert fit(tmp_path / "whole", module=Growing(scores=scores), epochs=len(scores)).checkpoints.best_epoch == best
    for epochs in (1, 2, 3):  # a resume knows the size of the score to beat
        fit(tmp_path / "cut", module=Growing(scores=scores), epochs=min(epochs, len(scores)), resume=epochs > 1)
    resumed = fit(tmp_path / "cut", module=Growing(scores=scores), epochs=len(scores), resume=True)
    assert resumed.checkpoints.best_epoch == best


def test_of_equal_scores_the_lower_loss_wins_then_the_later_epoch(tmp_path: Path) -> None:
    class Tied(Toy):
        def on_validation_epoch_end(self) -> None:
            loss = (3.0, 1.0, 2.0, 1.0)[self.current_epoch]
            self.log_dict({"val/loss": loss, "val/accuracy": 0.5})

    assert fit(tmp_path, module=Tied()).checkpoints.best_epoch == 3


def test_without_validation_best_is_last(tmp_path: Path) -> None:
    done = fit(tmp_path, valid=False)
    assert done.checkpoints.best_epoch == 3
    best, last = (read_checkpoint(tmp_path / "checkpoints" / f"{name}.ckpt")[1] for name in ("best", "last"))
    assert all(torch.equal(best[name], last[name]) for name in last)


def test_epochs_between_validations_do_not_count(tmp_path: Path) -> None:
    module = Toy(scores=(0.9, 0.5, 0.9, 0.4))
    assert fit(tmp_path, module=module, check_val_every_n_epoch=2).checkpoints.best_epoch == 1


@pytest.mark.parametrize("scheduler", [None, PLATEAU])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_resume_is_bit_exact(tmp_path: Path, scheduler: dict[str, Any] | None, accumulate: int) -> None:
    def toy() -> Toy:
        return Toy(scheduler) if scheduler else Toy()

    whole = fit(tmp_path / "whole", module=toy(), accumulate_grad_batches=accumulate)
    first = fit(tmp_path / "parts", module=toy(), epochs=2, accumulate_grad_batches=accumulate)
    second = fit(tmp_path / "parts", module=toy(), resume=True, accumulate_grad_batches=accumulate)
    assert first.module.rates + second.module.rates == whole.module.rates
    assert len(second.module.rates) == 2 * BATCHES
    assert len(second.module.validated) == 2
    last = [torch.load(done.checkpoints.last_path, weights_only=True) for done in (whole, second)]
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "epoch", "global_step"):
        assert_equal(last[0][part], last[1][part])
    assert second.checkpoints.state_dict() == whole.checkpoints.state_dict()


def test_plateau_has_stepped_before_last_is_written(tmp_path: Path) -> None:
    done = fit(tmp_path, module=Toy(PLATEAU))
    stored = torch.load(done.checkpoints.last_path, weights_only=True)["lr_schedulers"][0]
    assert stored["last_epoch"] == 4
    assert min(done.module.rates) < 0.1


def test_the_score_to_beat_survives_a_resume(tmp_path: Path) -> None:
    fit(tmp_path, module=Toy(scores=(0.1, 0.9)), epochs=2)
    done = fit(tmp_path, module=Toy(scores=(0.1, 0.9, 0.8, 0.7)), resume=True)
    assert done.checkpoints.best_epoch == 1


def test_a_broken_epoch_is_trained_again(tmp_path: Path) -> None:
    class Interrupt(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
            if trainer.global_step == 2 * BATCHES + 3:
                raise RuntimeError("power cut")

    whole = fit(tmp_path / "whole", ema=0.9)
    with pytest.raises(RuntimeError, match="power cut"):
        fit(tmp_path / "cut", ema=0.9, extra=[Interrupt()])
    second = fit(tmp_path / "cut", ema=0.9, resume=True)
    assert_equal(dict(second.module.net.state_dict()), dict(whole.module.net.state_dict()))


def test_early_stopping_is_asked_before_last_is_written(tmp_path: Path) -> None:
    stopping = pl.callbacks.EarlyStopping("val/accuracy", mode="max", patience=1)
    done = fit(tmp_path, module=Toy(scores=(0.9, 0.8, 0.7, 0.6)), extra=[stopping], reverse=True)
    stored = torch.load(done.checkpoints.last_path, weights_only=True)["callbacks"]
    waits = [state["wait_count"] for name, state in stored.items() if name.startswith("EarlyStopping")]
    assert waits == [1]
    assert done.trainer.current_epoch == 2


@pytest.mark.parametrize(("scores", "end"), [((0.8, 0.9, 0.3, 0.4, 0.5, 0.6), 6), ((0.8, 0.9, 0.3, 0.2, 0.1, 0.0), 5)])
def test_early_stopping_starts_again_with_larger_images(tmp_path: Path, scores: tuple[float, ...], end: int) -> None:
    stopping = EarlyStopping("val/accuracy", extended=False, mode="max", patience=2)
    done = fit(tmp_path, module=Growing(scores=scores), epochs=6, extra=[stopping])
    assert done.trainer.current_epoch == end
    assert stopping.state_dict()["image_size"] is None


def test_a_metric_that_is_not_measured_is_told(tmp_path: Path) -> None:
    from gender_lightning.training.callbacks.checkpoints import Checkpoints

    trainer = pl.Trainer(accelerator="cpu", max_epochs=1, logger=False, enable_progress_bar=False,
                         enable_model_summary=False, num_sanity_val_steps=0, default_root_dir=tmp_path,
                         callbacks=[Checkpoints(tmp_path, monitor="val/acuracy")])  # fmt: skip
    from toy_training import loader

    with pytest.raises(UserError, match=r"Choose one of val/accuracy, val/loss"):
        trainer.fit(Toy(), loader(1), loader(2))


class Signal(pl.Callback):
    """A signal that comes after so many batches of training, or of one validation."""

    def __init__(self, interruption: Interruption, *, batch: int = 0, validated: int = 0) -> None:
        self.interruption, self.batch, self.validated = interruption, batch, validated

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        self.batch -= 1
        if self.batch == 0:
            self.interruption.number = 15

    def on_validation_batch_start(self, trainer: pl.Trainer, *args: Any, **kwargs: Any) -> None:
        self.validated -= 1
        if self.validated == 0:
            self.interruption.number = 15


@pytest.mark.parametrize("scheduler", [COSINE, PLATEAU])
@pytest.mark.parametrize(
    ("when", "accumulate"),
    [
        ({"batch": 1}, 1), ({"batch": 7}, 1), ({"batch": 7}, 2), ({"batch": 10}, 1), ({"batch": 15}, 2),
        ({"validated": 4}, 1), ({"validated": 5}, 2), ({"validated": 12}, 1),
    ],
)  # fmt: skip
def test_a_signal_is_answered_by_a_checkpoint_that_goes_on_exactly(
    tmp_path: Path, scheduler: dict[str, Any], when: dict[str, int], accumulate: int
) -> None:
    options: dict[str, Any] = {"ema": 0.9, "accumulate_grad_batches": accumulate}
    whole = fit(tmp_path / "whole", module=Toy(scheduler), **options)
    interruption = Interruption()
    extra = [Signal(interruption, **when)]
    with pytest.raises(Interrupted) as stop:
        fit(tmp_path / "cut", module=Toy(scheduler), interruption=interruption, extra=extra, **options)
    assert stop.value.code == 143 and not interruption.defers
    second = fit(tmp_path / "cut", module=Toy(scheduler), resume=True, **options)
    last = [torch.load(done.checkpoints.last_path, weights_only=True) for done in (whole, second)]
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "epoch", "global_step", "loops"):
        assert_equal(last[0][part], last[1][part])
    assert second.checkpoints.state_dict() == whole.checkpoints.state_dict()
    for name in ("epoch", "step", "val/loss", "lr"):
        rows = [read_rows(tmp_path / run / "metrics.csv") for run in ("whole", "cut")]
        assert [row[name] for row in rows[0]] == [row[name] for row in rows[1]]
    trained = len(second.module.rates)
    if "batch" in when and accumulate == 1:
        assert trained == 4 * BATCHES - when["batch"], "nothing is trained twice"


@pytest.mark.parametrize("ends", ["epoch", "inside"])
def test_a_training_with_a_limit_of_steps_goes_on_exactly(tmp_path: Path, ends: str) -> None:
    options: dict[str, Any] = {"max_steps": 18}
    whole = fit(tmp_path / "whole", module=Toy(PLATEAU), **options)
    extra = [PowerCut(12 if ends == "inside" else 11)]
    rhythm = Rhythm(steps=12) if ends == "inside" else None
    with pytest.raises(RuntimeError, match="power cut"):
        fit(tmp_path / "cut", module=Toy(PLATEAU), extra=extra, rhythm=rhythm, **options)
    second = fit(tmp_path / "cut", module=Toy(PLATEAU), resume=True, **options)
    assert_equal(dict(second.module.net.state_dict()), dict(whole.module.net.state_dict()))
    rows = [read_rows(tmp_path / run / "metrics.csv") for run in ("whole", "cut")]
    assert [(row["epoch"], row["step"]) for row in rows[0]] == [(row["epoch"], row["step"]) for row in rows[1]]


class PowerCut(pl.Callback):
    """After so many steps, when all that the step does is done."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        if trainer.global_step == self.step:
            raise RuntimeError("power cut")


@pytest.mark.parametrize("steps", [18, 20])
def test_the_last_of_a_limit_of_steps_is_saved_with_the_end_of_its_epoch(tmp_path: Path, steps: int) -> None:
    class Cut(pl.Callback):
        def on_train_epoch_end(self, trainer: pl.Trainer, *args: Any) -> None:
            if trainer.global_step == steps:
                raise RuntimeError("power cut")

    options: dict[str, Any] = {"max_steps": steps, "rhythm": Rhythm(steps=1)}
    stopping = [EarlyStopping("val/accuracy", mode="max", patience=9, extended=False) for _ in range(3)]
    whole = fit(tmp_path / "whole", extra=stopping[:1], **options)
    with pytest.raises(RuntimeError, match="power cut"):
        fit(tmp_path / "cut", extra=[stopping[1], Cut()], **options)
    assert_same_end(whole, fit(tmp_path / "cut", extra=stopping[2:], resume=True, **options))
    assert stopping[0].state_dict() == stopping[2].state_dict()


def test_a_signal_in_the_validation_after_the_last_step_lets_it_end(tmp_path: Path) -> None:
    whole = fit(tmp_path / "whole", module=Toy(scores=(0.1, 0.9)), max_steps=2 * BATCHES)
    interruption = Interruption()
    extra = [Signal(interruption, validated=5)]
    with pytest.raises(Interrupted):
        fit(tmp_path / "cut", module=Toy(scores=(0.1, 0.9)), interruption=interruption, extra=extra, max_steps=10)
    second = fit(tmp_path / "cut", module=Toy(scores=(0.1, 0.9)), resume=True, max_steps=10)
    assert second.checkpoints.best_epoch == 1
    assert_same_end(whole, second)


def assert_same_end(whole: Fit, resumed: Fit) -> None:
    last = [torch.load(done.checkpoints.last_path, weights_only=True) for done in (whole, resumed)]
    for part in ("state_dict", "optimizer_states", "epoch", "global_step", "loops"):
        assert_equal(last[0][part], last[1][part])
    assert resumed.checkpoints.state_dict() == whole.checkpoints.state_dict()


def test_steps_and_minutes_have_their_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[int] = []
    save = pl.Trainer.save_checkpoint

    def note(self: pl.Trainer, *args: Any) -> None:
        saved.append(self.global_step)
        save(self, *args)

    monkeypatch.setattr(pl.Trainer, "save_checkpoint", note)
    fit(tmp_path / "steps", epochs=2, rhythm=Rhythm(steps=3))
    assert saved == [3, 5, 6, 9, 10]
    saved.clear()
    fit(tmp_path / "minutes", epochs=1, rhythm=Rhythm(minutes=1e-9))
    assert saved == [1, 2, 3, 4, 5]
    saved.clear()
    fit(tmp_path / "none", epochs=1, rhythm=Rhythm(minutes=60))
    assert saved == [5]


def test_the_one_before_is_kept(tmp_path: Path) -> None:
    fit(tmp_path, epochs=3)
    folder = tmp_path / "checkpoints"
    steps = [torch.load(folder / f"{name}.ckpt", weights_only=True)["global_step"] for name in ("last", "previous")]
    assert steps == [3 * BATCHES, 2 * BATCHES]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_what_cannot_be_written_leaves_the_former_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    fit(tmp_path, epochs=2)
    folder = tmp_path / "checkpoints"
    former = {path.name: path.read_bytes() for path in folder.iterdir()}

    def fail(content: Any, file: Any) -> None:
        file.write(b"half")
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("gender_lightning.models.checkpoints.files.torch.save", fail)
    with pytest.raises(UserError, match=os.strerror(number)):
        fit(tmp_path, epochs=3, resume=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == former


class Patient(pl.Callback):
    """Waits in the second epoch until the files of the first are written, or not."""

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        (checkpoints,) = (callback for callback in trainer.callbacks if isinstance(callback, Checkpoints))
        if trainer.current_epoch == 1 and (job := checkpoints._writer._job) is not None:
            job.exception(timeout=60)


def test_a_failure_to_write_ends_the_training_at_the_next_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(content: Any, file: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("gender_lightning.models.checkpoints.files.torch.save", fail)
    module = Toy()
    with pytest.raises(UserError, match=os.strerror(errno.ENOSPC)):
        fit(tmp_path, epochs=3, module=module, extra=[Patient()])
    assert len(module.rates) == BATCHES + 1


def test_a_disk_that_is_full_for_real(tmp_path: Path) -> None:
    """The kernel refuses every byte beyond a limit, as it does on a full disk."""
    fit(tmp_path, epochs=1)
    folder = tmp_path / "checkpoints"
    former = {path.name: path.read_bytes() for path in folder.iterdir()}
    before, limits = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
        with pytest.raises(UserError, match="File too large"):
            fit(tmp_path, epochs=2, resume=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == former


def test_a_directory_that_vanishes_is_not_made_again(tmp_path: Path) -> None:
    class Remove(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
            if trainer.global_step == 7:
                (tmp_path / "checkpoints").rename(tmp_path / "unmounted")

    with pytest.raises(UserError, match="checkpoints is gone. Check whether it was removed"):
        fit(tmp_path, extra=[Remove()], rhythm=Rhythm(steps=8))
    assert not (tmp_path / "checkpoints").exists()


def assert_equal(one: Any, other: Any) -> None:
    """Equal to the last bit, however deep."""
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_equal(one[key], other[key])
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            assert_equal(left, right)
    else:
        assert one == other


def test_steps_go_on_while_a_checkpoint_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The write is held until two more steps have been taken; if they waited for it, it would be held for good."""
    gate, released, begun = threading.Event(), list[bool](), list[int]()
    write = Checkpoints._write

    def held(self: Checkpoints, *arguments: Any) -> None:
        released.append(gate.wait(60))
        write(self, *arguments)

    class Later(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
            begun.append(trainer.global_step)
            if trainer.global_step == 5:
                assert not (tmp_path / "checkpoints" / "last.ckpt").exists()
                gate.set()

    monkeypatch.setattr(Checkpoints, "_write", held)
    done = fit(tmp_path, epochs=1, rhythm=Rhythm(steps=3), extra=[Later()])
    assert released == [True, True], "the one after the third step, and that of the epoch"
    assert begun == [1, 2, 3, 4, 5]
    assert torch.load(done.checkpoints.previous_path, weights_only=True)["global_step"] == 3, "as it was when it began"
    assert torch.load(done.checkpoints.last_path, weights_only=True)["global_step"] == 5
