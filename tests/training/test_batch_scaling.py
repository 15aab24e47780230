"""A recipe for a batch of 256 on more and fewer devices, with the numbers of its sources."""

from __future__ import annotations

import math
import re

import pytest

from gender_lightning.config import OptimizerConfig, TrainConfig, parse_config
from gender_lightning.config.location import conf_dir
from gender_lightning.config.sections import Cosine, OneCycle
from gender_lightning.overrides import compose
from gender_lightning.training.batch_scaling import follow_batch


def optimizer(target: str, lr: float, reference: int | None) -> OptimizerConfig:
    return OptimizerConfig(**{"_target_": target, "lr": lr, "reference_batch": reference, "momentum": 0.9})


def cosine(warmup: float) -> Cosine:
    return Cosine(name="cosine", warmup_epochs=warmup, final_ratio=0.0)


@pytest.mark.parametrize(
    ("target", "batch", "rate", "warmup"),
    [
        ("torch.optim.SGD", 8192, 3.2, 22.5),  # Goyal et al.: 0.1 for 256 images becomes 3.2 for 8,192
        ("torch.optim.AdamW", 1024, 0.2, 20.0),  # Malladi et al.: four times the batch, twice the rate
        ("timm.optim.Lion", 64, 0.05, 1.25),
        ("torch.optim.SGD", 256, 0.1, 5.0),
    ],
)
def test_rate_and_warm_up_follow_the_batch(target: str, batch: int, rate: float, warmup: float) -> None:
    scaled, scheduler, said = follow_batch(optimizer(target, 0.1, 256), cosine(5), global_batch=batch, epochs=90)
    assert scaled.lr == pytest.approx(rate)
    assert isinstance(scheduler, Cosine)
    assert scheduler.warmup_epochs == pytest.approx(warmup)
    assert (said is None) == (batch == 256)
    assert said is None or (f"{rate:.3g}" in said and str(batch) in said and f"{warmup:.3g} epochs" in said)
    assert scaled.section() == {"_target_": target, "lr": scaled.lr, "weight_decay": 0.0, "momentum": 0.9}


def test_a_recipe_without_a_reference_is_used_as_it_is() -> None:
    recipe = optimizer("torch.optim.SGD", 0.1, None), cosine(5)
    assert follow_batch(*recipe, global_batch=8192, epochs=90) == (*recipe, None)


def test_a_long_warm_up_is_not_shortened_and_one_cycle_has_none() -> None:
    _, long, told = follow_batch(optimizer("torch.optim.Adam", 0.1, 8), cosine(5), global_batch=16, epochs=10)
    assert isinstance(long, Cosine)
    assert long.warmup_epochs == 5
    assert told is not None and "warm-up" not in told
    cycle = OneCycle(name="one_cycle", peak_fraction=0.3, initial_ratio=0.04, final_ratio=0.0)
    scaled, same, said = follow_batch(optimizer("torch.optim.Adam", 0.1, 8), cycle, global_batch=16, epochs=10)
    assert scaled.lr == pytest.approx(0.1 * math.sqrt(2))
    assert same == cycle
    assert said is not None
    assert "warm-up" not in said


def test_the_recipe_of_celeba_says_what_eight_gpus_make_of_it() -> None:
    comment = r"on eight GPUs the global batch is ([\d,]+): the rate becomes ([\de.-]+), the warm-up (\d+) epochs"
    said = re.search(comment, (conf_dir() / "experiment" / "celeba.yaml").read_text())
    assert said is not None
    config = parse_config(TrainConfig, compose("train", ["experiment=celeba"]))
    batch = 8 * config.data.batch_size * config.trainer.accumulate_grad_batches
    assert batch == int(said[1].replace(",", "")) == 2048
    scaled, scheduler, _ = follow_batch(
        config.optimizer, config.scheduler, global_batch=batch, epochs=config.trainer.max_epochs
    )
    assert scaled.lr == pytest.approx(5e-4 * math.sqrt(8)) == pytest.approx(float(said[2]), rel=0.02)
    assert isinstance(scheduler, Cosine)
    assert scheduler.warmup_epochs == 12 / 4 == int(said[3]), "a quarter of the training, where the rule gives 4 epochs"
    one, same, unsaid = follow_batch(config.optimizer, config.scheduler, global_batch=256, epochs=12)
    assert (one.lr, same, unsaid) == (5e-4, config.scheduler, None)
