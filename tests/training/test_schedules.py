"""Schedules agree with torch's own schedulers step by step."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.optim import SGD
from torch.optim import lr_scheduler as oracle

from gender_lightning.training.schedules import EPOCH_LENGTHS, follow_epochs, make_schedule, make_scheduler, warm_up

TOTAL, PER_EPOCH = 60, 12


def rates(optimizer: SGD, scheduler: oracle.LRScheduler) -> list[float]:
    seen = []
    for _ in range(TOTAL):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


def ours(config: dict[str, Any]) -> list[float]:
    optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    return rates(optimizer, make_scheduler(optimizer, config.items(), TOTAL, PER_EPOCH)["scheduler"])


def theirs(scheduler: type[oracle.LRScheduler], **arguments: Any) -> list[float]:
    optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0, momentum=0.9)
    return rates(optimizer, scheduler(optimizer, **arguments))


@pytest.mark.parametrize(("peak", "initial", "final"), [(0.3, 0.04, 1e-4), (0.25, 0.1, 0.01), (0.5, 0.2, 0.1)])
def test_one_cycle_is_torchs(peak: float, initial: float, final: float) -> None:
    config = {"name": "one_cycle", "peak_fraction": peak, "initial_ratio": initial, "final_ratio": final}
    options = {"pct_start": peak, "div_factor": 1 / initial, "final_div_factor": initial / final}
    # one more step than is taken: torch's scheduler refuses to go past its end
    expected = theirs(oracle.OneCycleLR, max_lr=2.0, total_steps=TOTAL + 1, **options)
    schedule = make_schedule(config.items(), total_steps=TOTAL + 1, steps_per_epoch=PER_EPOCH)
    assert [2 * schedule(step) for step in range(TOTAL)] == pytest.approx(expected, abs=1e-9)
    assert schedule(TOTAL) == pytest.approx(final)


def test_one_cycle_may_end_at_zero() -> None:
    config = {"name": "one_cycle", "peak_fraction": 0.3, "initial_ratio": 0.1, "final_ratio": 0.0}
    seen = ours(config)
    assert seen[0] == pytest.approx(0.2)
    assert max(seen) == pytest.approx(2.0)
    assert seen[-1] == pytest.approx(0.0, abs=1e-12)


def test_cosine_is_torchs() -> None:
    config = {"name": "cosine", "warmup_epochs": 0.0, "final_ratio": 0.1}
    assert ours(config) == pytest.approx(theirs(oracle.CosineAnnealingLR, T_max=TOTAL, eta_min=0.2))


def test_cosine_after_warm_up_is_torchs_over_the_rest() -> None:
    seen = ours({"name": "cosine", "warmup_epochs": 1.0, "final_ratio": 0.0})
    assert seen[:PER_EPOCH] == pytest.approx([2 * (step + 1) / (PER_EPOCH + 1) for step in range(PER_EPOCH)])
    rest = theirs(oracle.CosineAnnealingLR, T_max=TOTAL - PER_EPOCH)[: TOTAL - PER_EPOCH]
    assert seen[PER_EPOCH:] == pytest.approx(rest)


def test_step_is_torchs() -> None:
    config = {"name": "step", "every_epochs": 2, "gamma": 0.1, "warmup_epochs": 0.0}
    assert ours(config) == pytest.approx(theirs(oracle.StepLR, step_size=2 * PER_EPOCH, gamma=0.1))


def test_constant_is_constant_after_its_warm_up() -> None:
    seen = ours({"name": "constant", "warmup_epochs": 0.5})
    assert seen[6:] == [2.0] * (TOTAL - 6)
    assert seen[:6] == sorted(seen[:6])
    assert seen[0] > 0


def test_no_warm_up_starts_at_the_top() -> None:
    assert warm_up(0, 0) == 1.0


def test_past_its_end_a_schedule_stays_where_it_ended() -> None:
    schedule = make_schedule({"name": "cosine", "warmup_epochs": 0, "final_ratio": 0.1}.items(),
                             total_steps=TOTAL, steps_per_epoch=PER_EPOCH)  # fmt: skip
    assert schedule(TOTAL + 50) == pytest.approx(0.1)


def test_plateau_steps_once_per_epoch_before_the_checkpoint() -> None:
    optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    config = {"name": "plateau", "factor": 0.5, "patience": 1, "monitor": "val/loss", "mode": "min"}
    made = make_scheduler(optimizer, config.items(), TOTAL, PER_EPOCH, batches_per_epoch=24)
    assert isinstance(made["scheduler"], oracle.ReduceLROnPlateau)
    assert (made["monitor"], made["interval"], made["frequency"]) == ("val/loss", "step", 24)


@pytest.mark.parametrize("factor", [1, 2])
@pytest.mark.parametrize("steps", [10, 4, 2])
def test_a_resume_with_another_batch_goes_by_the_share_of_epochs(steps: int, factor: int) -> None:
    config = {"name": "cosine", "warmup_epochs": 0.0, "final_ratio": 0.0}
    schedule = make_schedule(config, total_steps=4 * steps, steps_per_epoch=steps)
    rate = 0.1 * (1 + math.cos(math.pi * 2.5 / 4)) / 2  # after two and a half of four epochs
    checkpoint = {
        EPOCH_LENGTHS: [4, 4],
        "lr_schedulers": [{"last_epoch": 10, "base_lrs": [0.1], "_last_lr": [rate]}],
        "optimizer_states": [{"param_groups": [{"lr": rate}]}],
        "loops": {"fit_loop": {
            "epoch_progress": {"current": {"completed": 2}},
            "epoch_loop.batch_progress": {
                "is_last_batch": False, "current": {"ready": 2, "started": 2, "processed": 2, "completed": 1}
            },
        }},
    }  # fmt: skip
    rates = [0.1 * factor] if factor > 1 else None
    follow_epochs(checkpoint, schedule, steps=steps, batches=steps, done=steps // 2, rates=rates)
    assert checkpoint["optimizer_states"][0]["param_groups"][0]["lr"] == pytest.approx(rate * factor)
    assert checkpoint["lr_schedulers"][0]["base_lrs"] == [0.1 * factor]
    assert checkpoint["lr_schedulers"][0]["last_epoch"] == 2.5 * steps
    progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
    assert list(progress["current"].values()) == [steps // 2] * 3 + [steps // 2 - 1]


def test_lengths_that_were_not_noted_are_told_by_a_whole_number_of_epochs() -> None:
    schedule = make_schedule(
        {"name": "cosine", "warmup_epochs": 0.0, "final_ratio": 0.0}, total_steps=8, steps_per_epoch=2
    )
    checkpoint = {
        "lr_schedulers": [{"last_epoch": 10, "base_lrs": [0.1], "_last_lr": [0.0]}],
        "optimizer_states": [{"param_groups": [{"lr": 0.0}]}],
        "loops": {"fit_loop": {
            "epoch_progress": {"current": {"completed": 2}},
            "epoch_loop.batch_progress": {"is_last_batch": True, "current": {"ready": 5}},
        }},
    }  # fmt: skip
    follow_epochs(checkpoint, schedule, steps=2, batches=2, done=0)
    assert checkpoint["optimizer_states"][0]["param_groups"][0]["lr"] == pytest.approx(0.05)
    assert checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]["current"]["ready"] == 5
