"""The average is what the formula says, validation sees it, and a resume does not change it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from toy_training import BATCHES, Toy, ToyBatch, fit

from gender_lightning.models.checkpoints.checkpoint import read_checkpoint
from gender_lightning.training.callbacks.ema import AveragedWeights, restore


def test_the_average_is_the_recursion_written_out() -> None:
    net = nn.BatchNorm1d(3)
    weights = AveragedWeights(net, decay=0.3)
    expected = {name: value.clone() for name, value in net.state_dict().items()}
    for t in range(6):
        with torch.no_grad():
            net.weight.add_(torch.randn(3))
            net.running_mean.add_(torch.randn(3))  # type: ignore[union-attr]
            net.num_batches_tracked.add_(1)  # type: ignore[union-attr]
        weights.update()
        decay = min(0.3, (1 + t) / (10 + t))
        for name in ("weight", "bias", "running_mean", "running_var"):
            expected[name] = decay * expected[name] + (1 - decay) * net.state_dict()[name]
    state = weights.net_state(net)
    for name in ("weight", "bias", "running_mean", "running_var"):
        torch.testing.assert_close(state[name], expected[name])
    assert state["num_batches_tracked"] == 6  # a counter is no float


def test_swapping_there_and_back_is_exact_and_in_place() -> None:
    net = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    weights = AveragedWeights(net, decay=0.9)
    with torch.no_grad():
        net.weight.mul_(4)
    before, pointer = net.weight.detach().clone(), net.weight.data_ptr()
    own = weights.copy_to(net)
    assert torch.equal(net.weight, before / 4)
    restore(net, own)
    assert torch.equal(net.weight, before)
    assert net.weight.data_ptr() == pointer
    assert weights.average["weight"].is_contiguous(memory_format=torch.channels_last)


def test_bfloat16_weights_are_averaged_in_float32() -> None:
    net = nn.Linear(2, 2).bfloat16()
    weights = AveragedWeights(net, decay=0.9999)
    weights.updates = 10**6
    with torch.no_grad():
        net.weight.fill_(1.0)
        weights.average["weight"].zero_()
    for _ in range(100):
        weights.update()
    torch.testing.assert_close(weights.average["weight"], torch.full((2, 2), 1 - 0.9999**100), rtol=1e-3, atol=0)
    assert weights.net_state(net)["weight"].dtype == torch.bfloat16


@pytest.mark.parametrize("reverse", [False, True])
def test_validation_and_best_see_the_average_and_training_does_not(tmp_path: Path, reverse: bool) -> None:
    plain = fit(tmp_path / "plain")
    averaged = fit(tmp_path / "ema", ema=0.9, mode="min", reverse=reverse)  # -loss rises: another best epoch
    assert averaged.module.rates == plain.module.rates
    plain_last = read_checkpoint(tmp_path / "plain/checkpoints/last.ckpt")[1]
    own = read_checkpoint(tmp_path / "ema/checkpoints/last.ckpt")[1]
    assert_same(own, plain_last)
    assert averaged.checkpoints.best_epoch is not None
    best = read_checkpoint(averaged.checkpoints.best_path)[1]
    assert_same(best, averaged.module.validated[averaged.checkpoints.best_epoch])
    assert not torch.equal(best["0.weight"], plain.module.validated[averaged.checkpoints.best_epoch]["0.weight"])


def test_after_the_fit_the_average_stays_and_a_test_swaps_nothing(tmp_path: Path) -> None:
    done = fit(tmp_path, ema=0.9, epochs=2)
    after = {name: value.clone() for name, value in done.module.net.state_dict().items()}
    assert_same(after, done.module.validated[-1])
    from toy_training import loader

    with torch.no_grad():
        done.module.net[3].bias.fill_(7.0)  # as if best.ckpt had been loaded
    done.trainer.test(done.module, loader(3), verbose=False)
    done.trainer.validate(done.module, loader(3), verbose=False)
    assert done.module.validated[-1]["3.bias"] == 7.0
    assert done.module.net[3].bias == 7.0


def test_a_resume_is_bit_exact(tmp_path: Path) -> None:
    whole = fit(tmp_path / "whole", ema=0.9)
    fit(tmp_path / "parts", ema=0.9, epochs=2)
    second = fit(tmp_path / "parts", ema=0.9, resume=True)
    assert_same(second.module.net.state_dict(), whole.module.net.state_dict())
    assert second.ema is not None
    assert second.ema.weights is not None
    assert second.ema.weights.updates == 4 * BATCHES


def test_accumulated_batches_count_as_one_update(tmp_path: Path) -> None:
    done = fit(tmp_path, ema=0.9, epochs=2, accumulate_grad_batches=2)
    assert done.ema is not None
    assert done.ema.weights is not None
    assert done.ema.weights.updates == done.trainer.global_step == 6


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_two_ranks_validate_and_keep_the_same_average(tmp_path: Path) -> None:
    done = fit(tmp_path, ema=0.9, epochs=2, module=Ranks(folder=tmp_path), strategy="ddp_fork", devices=2)
    seen = [torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]
    assert len(seen[0]) == 3  # two validations, and what is left after the fit
    for one, other in zip(*seen, strict=True):
        assert_same(one, other)
    assert_same(seen[0][1], seen[0][2])
    best = read_checkpoint(done.checkpoints.best_path)[1]
    assert any(all(torch.equal(best[name], state[name]) for name in best) for state in seen[0])


class Ranks(Toy):
    """Trains every rank on other images, and notes what each validates."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def training_step(self, batch: ToyBatch, batch_idx: int) -> torch.Tensor:
        return super().training_step(ToyBatch(batch.images * (1 + self.global_rank), batch.labels), batch_idx)

    def on_fit_end(self) -> None:
        state = {name: value.clone() for name, value in self.net.state_dict().items()}
        torch.save([*self.validated, state], self.folder / f"rank{self.global_rank}.pt")
