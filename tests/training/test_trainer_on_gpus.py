"""What the trainer is told on GPUs, and what waits for a device that does not tell when a loss has arrived."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from gender_lightning.config import TrainConfig, parse_config
from gender_lightning.machine.hardware import Hardware
from gender_lightning.overrides import compose
from gender_lightning.runs import Run
from gender_lightning.training import trainer as module
from gender_lightning.training.callbacks import finite_loss
from gender_lightning.training.callbacks.finite_loss import LATER, FiniteLoss, NonFiniteLoss
from gender_lightning.training.ranks import WatchedDDP

GPUS = Hardware("gpu", 2, "bf16-mixed", False, True)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The arguments of the last trainer."""
    found: dict[str, Any] = {}
    monkeypatch.setattr(module.pl, "Trainer", lambda **arguments: found.update(arguments))
    monkeypatch.setattr(module, "leave_signals_alone", lambda trainer: None)
    monkeypatch.setattr(module, "resume_by_epochs", lambda trainer: None)
    monkeypatch.setattr(module, "share_cores", lambda processes: found.update(processes=processes))
    monkeypatch.setattr(torch, "set_float32_matmul_precision", lambda precision: found.update(matmul=precision))
    return found


@pytest.mark.parametrize(
    ("typed", "one_size", "chooses"),
    [((), True, True), ((), False, False), (("trainer.deterministic=true",), True, False)],
    ids=["constant sizes", "progressive sizes", "deterministic"],
)
def test_kernels_are_chosen_by_the_clock_where_nothing_speaks_against_it(
    told: dict[str, Any], tmp_path: Path, typed: tuple[str, ...], one_size: bool, chooses: bool
) -> None:
    config = parse_config(TrainConfig, compose("train", typed)).trainer
    module.make_trainer(config, GPUS, Run(tmp_path), callbacks=[], loggers=[], has_valid=True, one_size=one_size)
    assert told["benchmark"] is chooses
    assert told["matmul"] == "high"
    assert told["processes"] == 2, "that share the cores"
    assert "max_time" not in told, "Lightning's timer waits for the device after each batch"
    strategy = told["strategy"]
    assert isinstance(strategy, WatchedDDP)
    options = strategy._ddp_kwargs
    assert options["gradient_as_bucket_view"]
    assert not any(options[name] for name in options if name != "gradient_as_bucket_view"), options
    assert {"find_unused_parameters", "static_graph"} < options.keys()
    assert {"forward_sync_buffers", "broadcast_buffers"} & options.keys()


def test_losses_that_do_not_tell_when_they_arrive_are_looked_at_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finite_loss, "_arrival", lambda loss: LATER)
    data = SimpleNamespace(index=lambda split: _Rows())
    trainer: Any = SimpleNamespace(current_epoch=0, global_step=1, datamodule=data)
    batch: Any = SimpleNamespace(indices=torch.zeros(1, dtype=torch.int64))
    network: Any = None
    callback = FiniteLoss()
    losses = [torch.tensor(1.0)] * 3 + [torch.tensor(float("nan"))] + [torch.tensor(1.0)] * 45
    for number, loss in enumerate(losses):
        callback.on_train_batch_end(trainer, network, loss, batch, number)
    with pytest.raises(NonFiniteLoss, match=r"nan in epoch 1, step 1, batch 4, for the images a.jpg"):
        callback.on_train_batch_end(trainer, network, torch.tensor(1.0), batch, len(losses))


def test_an_apple_gpu_is_such_a_device() -> None:
    assert finite_loss._arrival(torch.empty((), device="meta")) is LATER
    assert finite_loss._arrival(torch.zeros(())) is None


class _Rows:
    image_ids = (b"a.jpg",)

    def __len__(self) -> int:
        return 1
