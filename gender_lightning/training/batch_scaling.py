"""Learning rate and warm-up for a global batch that differs from the one of the recipe."""

from __future__ import annotations

import math

from gender_lightning.config import OptimizerConfig, SchedulerConfig

LONGEST_WARMUP = 0.25  # fraction of the training


def follow_batch(
    optimizer: OptimizerConfig, scheduler: SchedulerConfig, *, global_batch: int, epochs: int
) -> tuple[OptimizerConfig, SchedulerConfig, str | None]:
    """Scale a recipe by the ratio of the global batch to `optimizer.reference_batch`.

    The rate of SGD grows with the ratio (Goyal et al. 2017, "Accurate, Large Minibatch SGD"), that of all other
    optimizers with its square root (Malladi et al. 2022, "On the SDEs and Scaling Rules for Adaptive Gradient
    Algorithms"). The warm-up keeps its number of steps, so that it takes more epochs, but at most a quarter of the
    training unless it was longer already.

    Args:
        optimizer: The section `optimizer`; without a `reference_batch` nothing changes.
        scheduler: The section `scheduler`.
        global_batch: Images per optimizer step over all devices and accumulated batches.
        epochs: Length of the training.

    Returns:
        Both sections as they are used, and a sentence about the changes; None if there are none.
    """
    reference = optimizer.reference_batch
    if reference is None or reference == global_batch:
        return optimizer, scheduler, None
    ratio = global_batch / reference
    is_sgd = optimizer.target.rpartition(".")[2].lower().startswith("sgd")
    rate = optimizer.lr * (ratio if is_sgd else math.sqrt(ratio))
    rule = "the ratio" if is_sgd else "the square root of the ratio"
    said = (
        f"A step uses {global_batch} images, but optimizer.lr={optimizer.lr:.3g} is meant for {reference}: the "
        f"learning rate is {rate:.3g} (times {rule})"
    )
    warmup = getattr(scheduler, "warmup_epochs", 0.0)
    if warmup:
        longer = min(warmup * ratio, max(warmup, LONGEST_WARMUP * epochs))
        scheduler = scheduler.model_copy(update={"warmup_epochs": longer})
        if longer != warmup:
            said += f", and the warm-up takes {longer:.3g} epochs instead of {warmup:.3g}"
    return optimizer.model_copy(update={"lr": rate}), scheduler, f"{said}."
