"""Contradictions between the fields about groups and balance, which lie in several sections."""

from __future__ import annotations

from typing import Any

from gender_lightning.config.search import GROUP_METRICS


def group_problems(config: Any) -> list[tuple[str, str]]:
    """Each contradiction of a `TrainConfig` as a problem, without its full stop, and a remedy."""
    return ([] if config.has_groups else _without_groups(config)) + _balanced_twice(config)


def _without_groups(config: Any) -> list[tuple[str, str]]:
    """Fields that need groups, for a configuration that has none."""
    checkpoint, scheduler = config.callbacks.checkpoint, config.scheduler
    wanting = {
        "loss.group_weights": config.loss.group_weights != "none",
        f"callbacks.checkpoint.monitor={checkpoint.monitor}": checkpoint.monitor in GROUP_METRICS,
        "scheduler.monitor": scheduler.name == "plateau" and scheduler.monitor in GROUP_METRICS,
        "search.metrics": config.search is not None and not {*GROUP_METRICS}.isdisjoint(config.search.metrics),
    }
    return [
        (f"{what} needs groups", "Name attributes that divide the classes, such as data.groups=[Wearing_Lipstick].")
        for what, wants in wanting.items()
        if wants
    ]


def _balanced_twice(config: Any) -> list[tuple[str, str]]:
    """A sampler and a loss that correct for the same imbalance."""
    sampler, loss = config.data.sampler, config.loss
    twice = {
        ("class_balanced", "loss.class_weights=balanced"): loss.class_weights == "balanced",
        ("class_balanced", "loss.logit_adjustment"): loss.logit_adjustment > 0,
        ("group_balanced", "loss.group_weights=balanced"): loss.group_weights == "balanced",
    }
    return [
        (f"data.sampler={name} and {field} correct for the same imbalance", "Leave one of them out.")
        for (name, field), given in twice.items()
        if given and sampler == name
    ]
