"""Mishaps are told in words that say what to turn, and name the last good checkpoint."""

from __future__ import annotations

import errno
import math
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from toy_training import BATCHES, Toy, ToyBatch, batches, fit

from gender_lightning.errors import UserError
from gender_lightning.runs import Run
from gender_lightning.training.callbacks.finite_loss import FiniteLoss, NonFiniteLoss
from gender_lightning.training.faults import explain, explained


def no_memory() -> BaseException:
    try:
        torch.empty(2**60, dtype=torch.uint8)
    except RuntimeError as error:
        return error
    raise AssertionError


def no_array() -> BaseException:
    try:
        np.empty(2**60, dtype=np.uint8)
    except MemoryError as error:
        return error
    raise AssertionError


@pytest.mark.parametrize(
    "error", [no_memory(), no_array(), MemoryError(), torch.OutOfMemoryError("CUDA out of memory")]
)
def test_too_little_memory_says_what_to_turn(error: BaseException) -> None:
    fault = explain(error)
    assert fault is not None and "too little memory" in fault.problem
    assert "data.batch_size" in fault.remedy and "trainer.accumulate_grad_batches" in fault.remedy


def test_a_worker_that_dies_while_a_checkpoint_is_written_is_named_too() -> None:
    def write() -> None:
        try:
            raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")
        finally:
            raise RuntimeError("[enforce fail at inline_container.cc:671] . unexpected pos 4029312 vs 4029200")

    with pytest.raises(RuntimeError) as caught:
        write()
    assert "(pid 7) was ended from outside (Killed)" in str(explain(caught.value))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("DataLoader worker (pid 7) is killed by signal: Killed. ", "(pid 7) was ended from outside (Killed)"),
        ("DataLoader worker (pid(s) 7, 8) exited unexpectedly", "(pid 7, 8) ended unexpectedly. Set data.workers=0"),
        ("DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that dataloader's workers are out "
         "of shared memory.", "ran out of shared memory. Give it more (docker run --shm-size"),
    ],
)  # fmt: skip
def test_a_dead_worker_is_named(text: str, message: str) -> None:
    assert message in str(explain(RuntimeError(text)))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.ENOENT, errno.EIO, errno.EDQUOT])
def test_a_disk_that_fails_is_named(number: int) -> None:
    fault = explain(OSError(number, os.strerror(number), "runs/x/metrics.csv"))
    assert fault is not None and fault.remedy
    assert fault.problem == f"runs/x/metrics.csv cannot be written or read: {os.strerror(number)}."


@pytest.mark.parametrize("error", [ValueError("x"), RuntimeError("x"), UserError("x"), OSError(errno.EPIPE, "x")])
def test_everything_else_passes_as_it_is(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)) as stop, explained(Run(tmp_path)):
        raise error
    assert stop.value is error


def test_the_last_good_checkpoint_is_named(tmp_path: Path) -> None:
    run = Run(tmp_path)
    with pytest.raises(UserError, match="There is no checkpoint yet"), explained(run):
        raise MemoryError
    fit(tmp_path, epochs=2)
    message = rf"last good checkpoint is {run.last} \(epoch 2, step 10\): train resume={tmp_path} continues"
    with pytest.raises(UserError, match=message), explained(run):
        raise MemoryError


class IndexedBatch(NamedTuple):
    images: torch.Tensor
    labels: torch.Tensor
    indices: torch.Tensor


class Spoilt(Toy):
    """Its loss is no number from some step on."""

    def __init__(self, value: float, step: int) -> None:
        super().__init__()
        self.value, self.step = value, step

    def training_step(self, batch: ToyBatch, batch_idx: int) -> torch.Tensor:
        loss = super().training_step(batch, batch_idx)
        return loss * self.value if self.global_step == self.step else loss


class Named(FiniteLoss):
    """Its images have names though there is no data module."""

    def _image_ids(self, rows: list[int]) -> list[str]:
        return [f"{row:06d}.jpg" for row in rows]


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("late", [False, True])
def test_a_loss_that_is_none_stops_the_training_before_a_checkpoint(
    tmp_path: Path, value: float, late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if late:  # as on a GPU: what is under way arrives when it is waited for

        class Underway:
            def query(self) -> bool:
                return False

            def synchronize(self) -> None:
                waited.append(1)

        monkeypatch.setattr("gender_lightning.training.callbacks.finite_loss._arrival", lambda loss: Underway())
    waited: list[int] = []
    indexed = [IndexedBatch(*batch, torch.arange(4) + 4 * number) for number, batch in enumerate(batches(1))]
    monkeypatch.setattr("toy_training.batches", lambda seed, n=BATCHES: indexed)
    finite = Named()
    with pytest.raises(
        NonFiniteLoss, match=rf"loss is {value} in epoch 2, step 8, batch 3, for the images 0000"
    ) as stop:
        fit(tmp_path, module=Spoilt(value, 7), extra=[finite], valid=False, finite=finite)
    assert stop.value.image_ids == ["000008.jpg", "000009.jpg", "000010.jpg", "000011.jpg"]
    stored = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert stored["global_step"] == BATCHES, "of the epoch before"
    assert bool(waited) == late
    fault = explain(stop.value)
    assert fault is not None and "optimizer.lr" in fault.remedy


def test_a_configuration_that_lightning_refuses_is_a_sentence() -> None:
    from lightning_fabric.utilities.exceptions import MisconfigurationException

    assert str(explain(MisconfigurationException("limit_train_batches=0.1 of 3\n batches."))).endswith(
        "limit_train_batches=0.1 of 3 batches."
    )


def test_a_gradient_that_no_gpu_computes_alike_twice_is_explained() -> None:
    error = RuntimeError(
        "upsample_bicubic2d_backward_out_cuda does not have a deterministic implementation, but you set "
        "'torch.use_deterministic_algorithms(True)'. You can turn off determinism just for this operation."
    )
    said = str(explain(error))
    assert "no deterministic upsample_bicubic2d_backward_out_cuda" in said
    assert "trainer.deterministic=false" in said
