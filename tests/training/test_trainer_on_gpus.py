"""What the trainer is told on GPUs, and what waits for a device that does not tell when a loss has arrived."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from test_classifier import classifier, loader, trainer

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


# 1,000 images in batches of 8 on 2 devices are 62 batches of an epoch
@pytest.mark.parametrize(
    ("typed", "steps"),
    [
        ((), 310),
        (("trainer.max_epochs=1",), 62),
        (("trainer.max_steps=100",), 100),
        (("trainer.max_steps=1000",), 310),
        (("trainer.limit_train_batches=10",), 50),
        (("trainer.limit_train_batches=100",), 310),
        (("trainer.limit_train_batches=0.5",), 155),
        (("trainer.limit_train_batches=0.49",), 150),  # 30.38 batches are 30
        (("trainer.accumulate_grad_batches=4",), 80),  # the last step of an epoch adds up two batches
        (("trainer.accumulate_grad_batches=4", "trainer.limit_train_batches=10"), 15),
        (("trainer.num_nodes=4",), 75),
        (("trainer.fast_dev_run=true",), 1),
        (("trainer.fast_dev_run=true", "trainer.max_steps=100", "trainer.limit_train_batches=10"), 1),
    ],
    ids=str,
)
def test_the_length_of_a_training_is_known_before_it_starts(typed: tuple[str, ...], steps: int) -> None:
    config = parse_config(TrainConfig, compose("train", ["trainer.max_epochs=5", *typed])).trainer
    assert module.planned_steps(config, images=1000, batch_size=8, devices=2) == steps


def test_a_step_at_least_is_planned_and_devices_share_the_images() -> None:
    config = parse_config(TrainConfig, compose("train", ["trainer.max_epochs=5"])).trainer
    assert module.planned_steps(config, images=3, batch_size=8, devices=2) == 5
    assert module.planned_steps(config, images=1000, batch_size=8, devices=1) == 5 * 125


@pytest.mark.parametrize(
    "options",
    [
        {}, {"max_steps": 3}, {"limit_train_batches": 2}, {"limit_train_batches": 0.7}, {"accumulate_grad_batches": 2},
        {"fast_dev_run": True}, {"limit_train_batches": 0.7, "accumulate_grad_batches": 3},
    ],
    ids=str,
)  # fmt: skip
def test_lightning_takes_as_many_steps(tmp_path: Path, options: dict[str, Any]) -> None:
    typed = [f"trainer.{name}={str(value).lower()}" for name, value in {"max_epochs": 2, **options}.items()]
    config = parse_config(TrainConfig, compose("train", typed)).trainer
    fitted = trainer(tmp_path, **{"max_epochs": 2, **options})
    fitted.fit(classifier(), loader(20))
    assert fitted.global_step == module.planned_steps(config, images=20, batch_size=4, devices=1)


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
