"""best.ckpt is the best epoch, last.ckpt goes on exactly, and a file is whole or absent."""

from __future__ import annotations

import errno
import math
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from toy_training import BATCHES, PLATEAU, Toy, fit

from gender_lightning.errors import UserError
from gender_lightning.models.checkpoint import read_checkpoint


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
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]


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


def test_a_metric_that_is_not_measured_is_told(tmp_path: Path) -> None:
    from gender_lightning.training.checkpoints import Checkpoints

    trainer = pl.Trainer(accelerator="cpu", max_epochs=1, logger=False, enable_progress_bar=False,
                         enable_model_summary=False, num_sanity_val_steps=0, default_root_dir=tmp_path,
                         callbacks=[Checkpoints(tmp_path, monitor="val/acuracy")])  # fmt: skip
    from toy_training import loader

    with pytest.raises(UserError, match=r"Choose one of val/accuracy, val/loss"):
        trainer.fit(Toy(), loader(1), loader(2))


def test_a_full_disk_leaves_the_former_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit(tmp_path, epochs=1)
    last = tmp_path / "checkpoints" / "last.ckpt"
    former = last.read_bytes()

    def full(self: pl.Trainer, path: Path, *args: Any) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pl.Trainer, "save_checkpoint", full)
    with pytest.raises(UserError, match="no space left to write"):
        fit(tmp_path, epochs=2, resume=True)
    assert last.read_bytes() == former
    assert sorted(p.name for p in last.parent.iterdir()) == ["best.ckpt", "last.ckpt"]


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
