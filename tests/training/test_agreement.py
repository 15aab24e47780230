"""Ranks hear of each other's signals one step later, and nothing in a step waits for the device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
import torch.distributed as dist
from test_classifier import classifier, loader
from torch import Tensor
from torch.multiprocessing import ProcessExitedException
from toy_training import Toy, fit

from gender_lightning.interruption import Interruption
from gender_lightning.machine.hardware import available_cores
from gender_lightning.training.agreement import Agreement
from gender_lightning.training.callbacks import finite_loss
from gender_lightning.training.callbacks.checkpoints import Checkpoints
from gender_lightning.training.callbacks.ema import Ema
from gender_lightning.training.callbacks.finite_loss import FiniteLoss
from gender_lightning.training.callbacks.gradient_norm import GradientNorm
from gender_lightning.training.callbacks.throughput import Throughput
from gender_lightning.training.callbacks.time_limit import TimeLimit
from gender_lightning.training.checkpoint_files import WholeFiles
from gender_lightning.training.trainer_habits import leave_signals_alone

two_cores = pytest.mark.skipif(available_cores() < 2, reason="two processes need two cores")
WAITS = ("item", "tolist", "__bool__", "__float__", "__int__", "cpu", "numpy")


def test_one_process_agrees_with_itself() -> None:
    agreement = Agreement()
    agreement.start(1)
    assert agreement.answer() is None
    agreement.ask(3, 0)
    assert agreement.answer() == [3, 0]
    agreement.ask(1, 1)
    assert agreement.now(0) == [0]
    assert agreement.answer() is None


class Signalled(pl.Callback):
    """Rank 1 receives a signal in a step; every rank notes the steps that it took."""

    def __init__(self, interruption: Interruption, folder: Path, step: int) -> None:
        self.interruption, self.folder, self.step = interruption, folder, step

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_rank == 1 and trainer.global_step == self.step:
            self.interruption.number = 15
        (self.folder / f"rank{trainer.global_rank}").write_text(str(trainer.global_step))


@pytest.mark.slow
@two_cores
@pytest.mark.parametrize(("step", "stopped"), [(2, 3), (4, 5)])  # the fifth is the last of the epoch
def test_a_signal_to_one_rank_stops_both_one_step_later(tmp_path: Path, step: int, stopped: int) -> None:
    interruption = Interruption()
    told = Signalled(interruption, tmp_path, step)
    with pytest.raises(ProcessExitedException, match="143"):
        fit(tmp_path, interruption=interruption, extra=[told], strategy="ddp_fork", devices=2)
    assert [(tmp_path / f"rank{rank}").read_text() for rank in (0, 1)] == [str(stopped)] * 2
    content = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert content["global_step"] == stopped


@pytest.mark.slow
@two_cores
@pytest.mark.parametrize(("step", "stopped"), [(2, 3), (5, 5)])  # the fifth is the last of the epoch
def test_a_time_limit_that_one_rank_has_reached_stops_both_one_step_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, stopped: int
) -> None:
    module = Toy()

    def elapsed(*_: Any) -> float:
        return 60.0 / step * len(module.rates) if dist.is_initialized() and dist.get_rank() == 1 else 0.0

    monkeypatch.setattr(TimeLimit, "time_elapsed", elapsed)
    noted = Signalled(Interruption(), tmp_path, step=0)
    fit(tmp_path, module=module, extra=[TimeLimit("00:00:01:00"), noted], strategy="ddp_fork", devices=2)
    assert [(tmp_path / f"rank{rank}").read_text() for rank in (0, 1)] == [str(stopped)] * 2


# ---- what a step exchanges and reads


class Counted(pl.Callback):
    """Counts exchanges, and readings of tensors, from the third step of an epoch to its last but one."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.counts, self.on = folder, Counter[str](), False
        self.patch = pytest.MonkeyPatch()

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for name in WAITS:
            self._count(Tensor, name)
        for name in ("broadcast", "all_gather", "barrier", "broadcast_object_list", "all_gather_object"):
            self._count(dist, name)
        make = torch.tensor

        def made(*arguments: Any, **options: Any) -> Tensor:
            # a copy from the host, for which a GPU is waited for
            self.counts["torch.tensor(device=...)"] += self.on and "device" in options
            return make(*arguments, **options)

        self.patch.setattr(torch, "tensor", made)
        answer = Agreement.answer

        def on_the_host(agreement: Agreement) -> list[int] | None:
            with self._off():
                return answer(agreement)

        self.patch.setattr(Agreement, "answer", on_the_host)
        # as on a GPU, where a loss arrives later
        self.patch.setattr(finite_loss, "_arrival", lambda loss: Never())

    def _count(self, owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def counting(*arguments: Any, **options: Any) -> Any:
            self.counts[name] += self.on
            return original(*arguments, **options)

        self.patch.setattr(owner, name, counting)

    @contextmanager
    def _off(self) -> Iterator[None]:
        before, self.on = self.on, False
        yield
        self.on = before

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        self.on = 2 <= trainer.global_step < trainer.num_training_batches - 1

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step >= trainer.num_training_batches - 1:
            self.on = False

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        net: Any = pl_module.net
        self.patch.undo()
        found = {"counts": dict(self.counts), "buffers": [buffer.clone() for buffer in net.buffers()]}
        torch.save(found, self.folder / f"rank{trainer.global_rank}.pt")


class Never:
    """An event that has not come yet."""

    def query(self) -> bool:
        return False

    def synchronize(self) -> None:
        pass


@pytest.mark.slow
@two_cores
def test_no_step_of_two_ranks_waits_for_a_device(tmp_path: Path) -> None:
    from pytorch_lightning.strategies import DDPStrategy

    finite = FiniteLoss()
    counted = Counted(tmp_path)
    trainer = pl.Trainer(
        accelerator="cpu", devices=2, max_epochs=1, logger=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0, default_root_dir=tmp_path, plugins=[WholeFiles()],
        strategy=DDPStrategy(start_method="fork", broadcast_buffers=False, gradient_as_bucket_view=True),
        callbacks=[
            counted, Ema(0.9), Throughput(), finite, GradientNorm(1), TimeLimit("00:01:00:00"),
            Checkpoints(tmp_path / "checkpoints", finite=finite),
        ],
        gradient_clip_val=1.0,  # each rank gets pictures of its own, or their statistics would be the same anyway
    )  # fmt: skip
    leave_signals_alone(trainer)
    trainer.fit(classifier(), loader(80), loader(8))
    found = [torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]
    for rank in found:
        assert sum(rank["counts"].values()) == 0, rank["counts"]
    for one, other in zip(*(rank["buffers"] for rank in found), strict=True):
        assert torch.equal(one, other)
