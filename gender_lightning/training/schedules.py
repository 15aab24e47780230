"""Learning-rate schedules: pure functions from an optimizer step to a factor of the learning rate.

Since they depend on the step only, they need no state, and a resumed training continues exactly. `optimizer.lr` is
always the highest rate that a schedule reaches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

Schedule = Callable[[int], float]
EPOCH_LENGTHS = "gender_lightning_epoch"  # entry of last.ckpt: optimizer steps of an epoch, and its batches on a rank


def warm_up(step: int, steps: float) -> float:
    """A factor that rises linearly and reaches 1 at `steps`; it is never 0, so that no step is wasted."""
    return min(1.0, (step + 1) / (steps + 1))


def cosine(step: int, *, total: int, warmup: float = 0, final_ratio: float = 0.0) -> float:
    """Half a cosine from 1 to `final_ratio` at `total`, after a linear warm-up (Loshchilov and Hutter 2017).

    Args:
        step: Number of optimizer steps done, from 0.
        total: Number of steps in the training.
        warmup: Number of steps in the warm-up.
        final_ratio: Factor at the end, in [0, 1].
    """
    if step < warmup:
        return warm_up(step, warmup)
    progress = min(1.0, (step - warmup) / max(1.0, total - warmup))
    return final_ratio + (1 - final_ratio) * _fall(progress)


def one_cycle(
    step: int,
    *,
    total: int,
    peak_fraction: float = 0.3,
    initial_ratio: float = 0.04,
    final_ratio: float = 4e-6,
) -> float:
    """A cosine up from `initial_ratio` to 1 and down to `final_ratio` in the last step (Smith and Topin 2018).

    The rates are those of `torch.optim.lr_scheduler.OneCycleLR` with pct_start = peak_fraction, div_factor = 1 /
    initial_ratio and final_div_factor = initial_ratio / final_ratio; the momentum is not changed.

    Args:
        step: Number of optimizer steps done, from 0.
        total: Number of steps in the training.
        peak_fraction: Position of the peak as a share of the training, in (0, 1).
        initial_ratio: Factor of the first step, in [0, 1].
        final_ratio: Factor of the last step, in [0, 1].
    """
    peak = max(0.0, peak_fraction * total - 1)
    if step < peak:
        return 1 + (initial_ratio - 1) * _fall(step / peak)
    progress = min(1.0, (step - peak) / max(1e-9, total - 1 - peak))
    return final_ratio + (1 - final_ratio) * _fall(progress)


def step_decay(step: int, *, every: int, gamma: float = 0.1, warmup: float = 0) -> float:
    """A factor that is multiplied by `gamma` every `every` steps, with a linear warm-up."""
    return warm_up(step, warmup) * float(gamma ** (step // max(1, every)))


def constant(step: int, *, warmup: float = 0) -> float:
    """A factor that stays at 1 after a linear warm-up."""
    return warm_up(step, warmup)


def _fall(progress: float) -> float:
    return (1 + math.cos(math.pi * progress)) / 2


def make_schedule(config: Iterable[tuple[str, Any]], *, total_steps: int, steps_per_epoch: int) -> Schedule:
    """Turn a scheduler section other than plateau into a function of the step.

    Args:
        config: A section of `config.SchedulerConfig`, or its items.
        total_steps: Number of optimizer steps in the training.
        steps_per_epoch: Number of optimizer steps in an epoch.
    """
    given = dict(config)
    name = given.pop("name")
    warmup = given.pop("warmup_epochs", 0.0) * steps_per_epoch
    if name == "cosine":
        return lambda step: cosine(step, total=total_steps, warmup=warmup, **given)
    if name == "one_cycle":
        return lambda step: one_cycle(step, total=total_steps, **given)
    if name == "step":
        every = max(1, round(given.pop("every_epochs") * steps_per_epoch))
        return lambda step: step_decay(step, every=every, warmup=warmup, **given)
    assert name == "constant", name
    return lambda step: constant(step, warmup=warmup)


def make_scheduler(
    optimizer: Optimizer,
    config: Iterable[tuple[str, Any]],
    total_steps: int,
    steps_per_epoch: int,
    *,
    batches_per_epoch: int | None = None,
) -> dict[str, Any]:
    """Lightning's description of a scheduler, for `configure_optimizers`.

    Args:
        optimizer: The optimizer, whose current rates are the highest of the schedule.
        config: A section of `config.SchedulerConfig`, or its items.
        total_steps: Number of optimizer steps in the training.
        steps_per_epoch: Number of optimizer steps in an epoch.
        batches_per_epoch: Number of batches in an epoch on one rank, if gradients are accumulated.
    """
    given = dict(config)
    if given["name"] != "plateau":
        schedule = make_schedule(given.items(), total_steps=total_steps, steps_per_epoch=steps_per_epoch)
        return {"scheduler": LambdaLR(optimizer, schedule), "interval": "step", "frequency": 1}
    options = {key: given[key] for key in ("factor", "patience", "mode") if key in given}
    # Lightning steps an "epoch" plateau after the end-of-epoch checkpoint, which would lose the step on a
    # resume. "step" at the last batch of an epoch comes after validation and before the checkpoint.
    return {
        "scheduler": ReduceLROnPlateau(optimizer, **options),
        "reduce_on_plateau": True,
        "monitor": given["monitor"],
        "interval": "step",
        "frequency": batches_per_epoch or steps_per_epoch,
        "strict": True,
    }


def follow_epochs(
    checkpoint: dict[str, Any],
    schedule: Schedule | None,
    *,
    steps: int,
    batches: int,
    done: int | None = None,
    rates: list[float] | None = None,
) -> None:
    """Adapt a checkpoint to epochs of another length, which another global batch causes, by the share that is done.

    Nothing changes if the epochs are as long as before.

    Args:
        checkpoint: Content of a last.ckpt, changed in place before Lightning restores the training from it.
        schedule: Schedule of the resumed training; None for one that has a state of its own (plateau).
        steps: Number of optimizer steps in its epochs.
        batches: Number of batches in its epochs on one rank.
        done: Number of these batches that count as done if the epoch was interrupted; None keeps the number in the
            checkpoint.
        rates: Peak rates of the parameter groups if they differ from those in the checkpoint because the global batch
            does; None keeps those in the checkpoint.
    """
    progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
    ended = progress["is_last_batch"] or not progress["current"]["ready"]
    if schedule is not None:
        epochs = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["completed"]
        _move_schedules(checkpoint, schedule, steps, epochs if ended else 0, rates)
    if done is not None and not ended:
        moved = min(done, batches - 1) - progress["current"]["ready"]
        for name in ("ready", "started", "processed", "completed"):  # Lightning finds its place by their differences
            progress["current"][name] += moved


def _move_schedules(
    checkpoint: dict[str, Any], schedule: Schedule, steps: int, epochs: int, rates: list[float] | None
) -> None:
    for state in checkpoint["lr_schedulers"]:
        state["base_lrs"] = rates or state["base_lrs"]
        # older files do not contain the lengths, which can be derived from them at the end of an epoch
        before = round(state["last_epoch"] / epochs) if epochs else steps
        steps_then = checkpoint.get(EPOCH_LENGTHS, [before])[0]
        state["last_epoch"] = round(state["last_epoch"] * steps / steps_then)
        state["_last_lr"] = [rate * schedule(state["last_epoch"]) for rate in state["base_lrs"]]
        for optimizer in checkpoint["optimizer_states"]:
            for group, rate in zip(optimizer["param_groups"], state["_last_lr"], strict=True):
                group["lr"] = rate
