"""A trial trains what the search's file says, though it composes without that file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hydra import compose
from omegaconf import DictConfig

from gender_lightning.errors import UserError
from gender_lightning.overrides import groups
from gender_lightning.overrides.composing import hydra_at_conf
from gender_lightning.running import check_overrides
from gender_lightning.sweeps.jobs import plain_overrides
from gender_lightning.sweeps.search.plan import make_plan


def composed(overrides: Sequence[str]) -> DictConfig:
    return compose("train", list(overrides), return_hydra_config=True)


@pytest.mark.parametrize(
    "typed",
    [
        *([f"search={name}"] for name in groups()["search"] if name != "default"),
        ["search=vgg19", "model=resnet18", "optimizer.lr=1e-3"],
        ["search=groups", "data.groups=[Bangs]", "experiment=celeba_mini"],
    ],
    ids=" ".join,
)
def test_a_trial_is_the_training_of_its_search(typed: list[str]) -> None:
    with hydra_at_conf():
        config = composed(typed)
        plan = make_plan(
            config, plain_overrides(typed), [], compose=composed, devices_of=lambda point: 1, directory=Path("runs")
        )
        trial = composed(plan.always)
        for section in ("model", "data", "augmentation", "loss", "optimizer", "scheduler", "trainer"):
            assert trial[section] == config[section]
        assert "search" not in trial or trial.search is None
    if typed == ["search=vgg19"]:
        assert plan.fixed == ("model=vgg19",)


@pytest.mark.parametrize("metrics", ["[val/accuracy,val/group_gap]", "[val/worst_group_accuracy]"])
def test_metrics_of_groups_are_objectives_where_there_are_groups(metrics: str) -> None:
    typed = ["search=resnet18", f"search.metrics={metrics}", "data.groups=[Bangs]"]
    check_overrides("train", ["-m", *typed])
    with hydra_at_conf():
        plan = make_plan(
            composed(typed), plain_overrides(typed), [], compose=composed, devices_of=lambda point: 1,
            directory=Path("runs"),
        )  # fmt: skip
    ways = {"val/accuracy": "max", "val/group_gap": "min", "val/worst_group_accuracy": "max"}
    assert plan.settings.objectives == {name: ways[name] for name in metrics.strip("[]").split(",")}
    best = "callbacks.checkpoint.monitor=val/worst_group_accuracy"
    assert (best in plan.always) == ("worst" in metrics), "best.ckpt is the epoch that the search goes by"
    with pytest.raises(UserError, match=r"search.metrics needs groups"):
        check_overrides("train", ["-m", *typed[:2]])
