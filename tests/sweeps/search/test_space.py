"""Hydra's sweep syntax means the same to Optuna, and a field that depends on a choice is searched only with it."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from gender_lightning.config import Alternative
from gender_lightning.errors import UserError
from gender_lightning.sweeps.search.space import Space, make_space

RECIPE = {"optimizer": "adamw", "optimizer.lr": 1e-3, "model.dropout": 0.0, "a": 1}
CONDITIONAL: dict[str, Any] = {
    "optimizer.momentum": Alternative(values="interval(0.8,0.99)", when={"optimizer": "sgd"}),
    "optimizer.lr": [
        Alternative(values="tag(log,interval(1e-4,1e-2))", when={"optimizer": "adamw"}),
        Alternative(values="tag(log,interval(1e-2,1))", when={"optimizer": "sgd"}),
    ],
    "optimizer": "choice(adamw,sgd)",
}


def space(ranges: dict[str, Any], swept: tuple[str, ...] = (), fixed: tuple[str, ...] = ()) -> Space:
    return make_space(ranges, swept, fixed, RECIPE.get)


@pytest.mark.parametrize(
    ("sweep", "distribution"),
    [
        ("interval(1,2)", FloatDistribution(1.0, 2.0)),
        ("tag(log,interval(1e-5,1e-1))", FloatDistribution(1e-5, 1e-1, log=True)),
        ("int(interval(1,8))", IntDistribution(1, 8)),
        ("tag(log,int(interval(1,8)))", IntDistribution(1, 8, log=True)),
        ("range(1,10,3)", IntDistribution(1, 7, step=3)),
        ("range(0,1,0.25)", FloatDistribution(0.0, 0.75, step=0.25)),
        ("choice(1,2)", CategoricalDistribution([1, 2])),
        ("a,null,true,0.5", CategoricalDistribution(["a", None, True, 0.5])),
        ("choice([1,2],{a:3})", CategoricalDistribution(["[1,2]", "{a:3}"])),
    ],
)
def test_hydras_ranges(sweep: str, distribution: Any) -> None:
    (parameter,) = space({"a": sweep}).parameters
    assert parameter.distribution == distribution


def test_values_are_written_as_they_were_typed() -> None:
    (parameter,) = space({"a": "[1,2],'x y',null,1e-3"}).parameters
    choices = parameter.distribution.choices  # type: ignore[attr-defined]
    assert [parameter.text(choice) for choice in choices] == ["a=[1,2]", "a='x y'", "a=null", "a=0.001"]


def test_a_condition_holds_for_every_trial() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    found = space(CONDITIONAL)
    seen = set()
    for _ in range(40):
        point = found.suggest(study.ask())
        seen.add(point["optimizer"])
        if point["optimizer"] == "sgd":
            assert set(point) == {"optimizer", "optimizer.momentum", "optimizer.lr (optimizer=sgd)"}
            assert 1e-2 <= point["optimizer.lr (optimizer=sgd)"] <= 1
        else:
            assert set(point) == {"optimizer", "optimizer.lr (optimizer=adamw)"}
        texts = found.overrides(point)
        assert sum(text.startswith("optimizer.lr=") for text in texts) == 1
    assert seen == {"adamw", "sgd"}


def test_a_fixed_choice_leaves_its_own_fields() -> None:
    assert [parameter.key for parameter in space(CONDITIONAL, fixed=("optimizer=adamw",)).parameters] == [
        "optimizer.momentum", "optimizer.lr", "optimizer.lr",
    ]  # fmt: skip
    study = optuna.create_study()
    point = space(CONDITIONAL, fixed=("optimizer=adamw",)).suggest(study.ask())
    assert set(point) == {"optimizer.lr (optimizer=adamw)"}


def test_the_command_line_wins_over_the_file() -> None:
    found = space({"a": "interval(0,1)", "b": "interval(0,1)"}, swept=("a=choice(1,2)",), fixed=("b=0.5",))
    assert [(p.name, p.distribution) for p in found.parameters] == [("a", CategoricalDistribution([1, 2]))]


def test_known_good_points_are_filled_from_the_recipe() -> None:
    found = space(CONDITIONAL)
    assert found.known_good({}) == {"optimizer": "adamw", "optimizer.lr (optimizer=adamw)": 1e-3}
    # the recipe's rate is AdamW's: it says nothing about SGD
    assert found.known_good({"optimizer": "sgd", "optimizer.momentum": 0.9}) == {
        "optimizer": "sgd", "optimizer.momentum": 0.9,
    }  # fmt: skip
    with pytest.raises(UserError, match="seed is not searched"):
        found.known_good({"seed": 1})
    with pytest.raises(UserError, match="outside"):
        found.known_good({"optimizer.lr": 5.0})


@pytest.mark.filterwarnings("error")
def test_steps_are_optunas() -> None:
    """It warns of a value between two steps, or beyond the last one by the error of a float."""
    stepped = space({"model.dropout": "range(0.1,0.31,0.1)"})
    (parameter,) = stepped.parameters
    assert parameter.values() == [0.1, 0.2, 0.3] and 0.1 + 2 * 0.1 > 0.3
    assert [parameter.contains(value) for value in (0.1, 0.2, 0.25, 0.3, 0.30000000000000004)] == [1, 1, 0, 1, 0]
    assert stepped.known_good({}) == {}  # the recipe's 0.0 is none of them
    with pytest.raises(UserError, match=r"model.dropout=0.25 lies outside"):
        stepped.known_good({"model.dropout": 0.25})
    study = optuna.create_study(sampler=optuna.samplers.GridSampler(stepped.grid()))
    assert {stepped.suggest(study.ask())["model.dropout"] for _ in range(3)} <= {0.1, 0.2, 0.3}


def test_corners_hold_every_end() -> None:
    points = list(space(CONDITIONAL).corners())
    rates = {point.get("optimizer.lr (optimizer=sgd)") for point in points}
    assert {0.01, 1.0} <= rates and {point["optimizer"] for point in points} == {"adamw", "sgd"}


def test_a_grid_has_ends() -> None:
    assert space({"a": "range(1,4)", "b": "choice(x,y)"}).grid() == {"a": [1, 2, 3], "b": ["x", "y"]}
    with pytest.raises(UserError, match="grid sampler"):
        space({"a": "interval(0,1)"}).grid()


@pytest.mark.parametrize(
    ("ranges", "said"),
    [
        ({}, "nothing to search"),
        ({"a": "0.5"}, "needs several values"),
        ({"a": "interval(1"}, "not a range in Hydra's syntax"),
        ({"a": "interval(2,1)"}, "cannot be searched"),
        (
            {"a": Alternative(values="1,2", when={"b": 1}), "b": Alternative(values="1,2", when={"a": 1})},
            "depend on each other",
        ),
    ],
)
def test_what_is_no_space(ranges: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        space(ranges)
