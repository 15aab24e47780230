"""Sections become objects, and mistakes in them become sentences."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from gender_lightning.building import OPTIMIZER, PRUNER, accepts, build, check
from gender_lightning.errors import UserError


@pytest.fixture
def weights() -> list[torch.nn.Parameter]:
    return [torch.nn.Parameter(torch.zeros(2))]


def test_builds_with_the_programs_and_the_sections_arguments(weights: list[torch.nn.Parameter]) -> None:
    optimizer = build({"_target_": "torch.optim.SGD", "momentum": 0.9}, OPTIMIZER, weights, lr=0.5)
    assert type(optimizer) is torch.optim.SGD
    assert optimizer.defaults["momentum"] == 0.9
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_builds_sections_inside_sections() -> None:
    inner = {"_target_": "optuna.pruners.MedianPruner", "n_startup_trials": 3}
    pruner = build({"_target_": "optuna.pruners.PatientPruner", "wrapped_pruner": inner, "patience": 2}, PRUNER)
    assert type(pruner._wrapped_pruner).__name__ == "MedianPruner"


@pytest.mark.parametrize(
    ("section", "positional", "message"),
    [
        (
            {"_target_": "torch.optim.SGD", "momentun": 0.9},
            1,
            "no argument 'momentun'. Did you mean 'momentum'?",
        ),
        ({"_target_": "torch.optim.SGD", "zzz": 0.9}, 1, "Known are: dampening"),
        ({"_target_": "torch.optim.SGD", "params": 1}, 1, "'params' is given by the program"),
        ({"_target_": "torch.optim.SGD"}, 0, "needs the argument params"),
        ({"_target_": "torch.optim.AdmaW"}, 1, "Did you mean 'AdamW'?"),
        ({"_target_": "timm.optim.lion.Lyon"}, 1, "Did you mean 'Lion'?"),
        (
            {"_target_": "os.system", "command": "true"},
            0,
            "not an optimizer of torch.optim, timm.optim",
        ),
        ({"_target_": "torch.os.system", "command": "true"}, 0, "not an optimizer of"),
        ({"_target_": "torch.hub.load"}, 0, "not an optimizer of"),
        ({"_target_": "torch.optim.adam._single_tensor_adam"}, 0, "not an optimizer of"),
        ({"_target_": "torch.optim.adamw.adamw"}, 0, "not a class"),
        ({"_target_": "torch.optim.lr_scheduler.LinearLR"}, 0, "is not an optimizer. Name a class such as"),
        (
            {"_target_": "torch.optim.optimizer.OrderedDict"},
            0,
            "torch.optim.optimizer.OrderedDict is not an optimizer of",
        ),
        ({"_target_": "nothing_of_this_name.Thing"}, 0, "not an optimizer of"),
        ({"_target_": "torch.optim.SGD", "_partial_": True}, 1, "no argument '_partial_'"),
        ({"_target_": 3}, 0, "dotted path"),
        ({"lr": 3}, 0, "dotted path"),
        (
            {
                "_target_": "optuna.pruners.PatientPruner",
                "patience": 1,
                "wrapped_pruner": {"_target_": "os.Thing"},
            },
            0,
            "os.Thing is not a pruner of optuna.pruners",
        ),
    ],
)
def test_a_mistake_is_told_without_building(section: dict[str, Any], positional: int, message: str) -> None:
    with pytest.raises(UserError) as caught:
        check(section, PRUNER if "pruners" in str(section) else OPTIMIZER, positional=positional)
    assert message in str(caught.value)


def test_what_the_class_itself_refuses_is_told(weights: list[torch.nn.Parameter]) -> None:
    with pytest.raises(UserError, match="refuses its arguments: Invalid learning rate"):
        build({"_target_": "torch.optim.SGD", "lr": -1.0}, OPTIMIZER, weights)


def test_a_named_package_of_the_users_own_is_admitted() -> None:
    section = {"_target_": "fractions.Fraction", "numerator": 1, "denominator": 2}
    with pytest.raises(UserError, match="is not an optimizer of"):
        check(section, OPTIMIZER)
    assert build(section, OPTIMIZER, allowed=["fractions"]) == 0.5


def test_a_package_that_is_missing_is_named() -> None:
    with pytest.raises(UserError, match="nothing_of_this_name is not installed"):
        check({"_target_": "nothing_of_this_name.Thing"}, OPTIMIZER, allowed=["nothing_of_this_name"])


def test_accepts_reads_the_signature() -> None:
    assert accepts({"_target_": "torch.optim.SGD"}, OPTIMIZER, "fused")
    assert not accepts({"_target_": "torch.optim.Rprop"}, OPTIMIZER, "fused")
