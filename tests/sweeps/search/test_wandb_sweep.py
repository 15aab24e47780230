"""A search as a sweep of W&B: what an agent types is a training, and nothing of the search is lost unsaid."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from gender_lightning.__main__ import main
from gender_lightning.config.location import conf_dir
from gender_lightning.errors import UserError
from gender_lightning.overrides.composing import hydra_at_conf
from gender_lightning.overrides.schema import mistakes
from gender_lightning.sweeps.search.checking import plan_of
from gender_lightning.sweeps.search.wandb_sweep import WandbSweep, wandb_sweep

SEARCHES = sorted(path.stem for path in (conf_dir() / "search").glob("*.yaml") if path.stem != "default")


def sweep_of(*overrides: str) -> WandbSweep:
    return wandb_sweep(plan_of(overrides))


def typed_by_agent(content: dict[str, Any], values: dict[str, Any]) -> list[str]:
    """The command line that `wandb agent` starts: the loop of `wandb_agent.Agent._command_run`, with its functions."""
    command = create_sweep_command(copy.deepcopy(content["command"]))
    macros = create_sweep_command_args({"args": {name: {"value": value} for name, value in values.items()}})
    macros |= {"interpreter": ["python"], "program": [content["program"]], "env": ["/usr/bin/env"]}
    line: list[str] = []
    for part in map(str, command):
        line += (macros.get(part[2:-1]) or []) if part.startswith("${") and part.endswith("}") else [part]
    return line


def points(parameters: dict[str, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Points that together hold both ends of every range and every value."""
    ends = {
        name: [one["value"]] if "value" in one else one.get("values") or [one["min"], one["max"]]
        for name, one in parameters.items()
    }
    for position in range(max(map(len, ends.values()))):
        yield {name: values[min(position, len(values) - 1)] for name, values in ends.items()}


@pytest.mark.parametrize("name", SEARCHES)
def test_what_an_agent_types_is_a_training(name: str) -> None:
    sweep = sweep_of(f"search={name}")
    content = yaml.safe_load(yaml.safe_dump(sweep.content))  # what W&B reads
    assert content["run_cap"] == 30 and content["metric"] == {"name": "val/accuracy", "goal": "maximize"}
    with hydra_at_conf():
        for point in points(content["parameters"]):
            line = typed_by_agent(content, point)
            assert line[:5] == ["/usr/bin/env", "python", "-m", "gender_lightning", "train"]
            assert "test=false" in line and not [part for part in line if "${" in part or "None" in part]
            assert mistakes("train", line[5:]) == [], line
            assert name in ("resnet50", "groups") or f"model={name}" in line  # not what `train` starts from
            assert all(f"{key}={value}" in line for key, value in point.items())


def test_ranges_are_in_wandbs_words() -> None:
    parameters = sweep_of("search=vit_b_16").content["parameters"]
    assert parameters["optimizer.lr"] == {"distribution": "log_uniform_values", "min": 1e-5, "max": 1e-3}
    assert parameters["loss.label_smoothing"]["distribution"] in ("uniform", "int_uniform")
    assert parameters["augmentation"] == {"values": ["standard", "strong"]}
    assert parameters["callbacks.ema.decay"] == {"values": [0.0, 0.99, 0.998]}
    further = sweep_of(
        "search=default", "data.batch_size=tag(log,range(8,257))", "model.dropout=range(0.1,0.5,0.2)",
        "seed=range(1,9)", "name=choice('a b',c)", "test=choice(true,false)", "data.image_size=range(64,129,32)",
    ).content["parameters"]  # fmt: skip
    assert further == {
        "data.batch_size": {"distribution": "q_log_uniform_values", "q": 1, "min": 8, "max": 256},
        "model.dropout": {"values": [0.1, 0.3]},
        "seed": {"distribution": "int_uniform", "min": 1, "max": 8},
        "name": {"values": ["a\\ b", "c"]},
        "test": {"values": [True, False]},
        "data.image_size": {"values": [64, 96, 128]},
    }


def test_conditions_are_dropped_and_said() -> None:
    sweep = sweep_of("search=resnet50")
    parameters = sweep.content["parameters"]
    assert parameters["optimizer"] == {"value": "adamw"} and "optimizer.momentum" not in parameters
    assert (parameters["optimizer.lr"]["min"], parameters["optimizer.lr"]["max"]) == (1e-4, 3e-3)
    assert "optimizer=adamw for every run" in sweep.notes[0] and "optimizer.momentum" in sweep.notes[0]
    assert "such as optimizer=sgd" in sweep.notes[1]
    other = sweep_of("search=resnet50", "optimizer=sgd")
    assert other.content["parameters"]["optimizer.momentum"] == {"distribution": "uniform", "min": 0.85, "max": 0.98}
    assert "optimizer=sgd" in other.content["command"] and "optimizer" not in other.content["parameters"]
    assert not any("conditional" in note for note in other.notes)


def test_the_way_of_searching_is_the_searchs() -> None:
    content = sweep_of("search=vit_b_16", "search/pruner=hyperband", "search.n_trials=7").content
    assert (content["method"], content["run_cap"]) == ("bayes", 7)
    assert content["early_terminate"] == {"type": "hyperband", "min_iter": 1, "eta": 3}
    assert "early_terminate" not in sweep_of("search=vit_b_16", "search/pruner=none").content
    median = sweep_of("search=vit_b_16")
    assert median.content["early_terminate"]["min_iter"] == 2 and any("median" in note for note in median.notes)
    assert sweep_of("search=vit_b_16", "search/sampler=random").content["method"] == "random"
    grid = sweep_of("search=default", "search/sampler=grid", "model.dropout=choice(0,0.2)", "seed=range(1,4)").content
    assert grid["method"] == "grid" and grid["parameters"]["seed"] == {"values": [1, 2, 3]}
    with pytest.raises(UserError, match="a grid sampler needs single values"):
        sweep_of("search=vit_b_16", "search/sampler=grid")


def test_one_objective_and_its_checkpoint() -> None:
    sweep = sweep_of("search=vit_b_16", "search.metrics=[val/loss,seconds]")
    assert sweep.content["metric"] == {"name": "val/loss", "goal": "minimize"}
    assert {"callbacks.checkpoint.monitor=val/loss", "callbacks.checkpoint.mode=min"} <= {*sweep.content["command"]}
    assert "W&B has one objective: val/loss." in sweep.notes and "early_terminate" not in sweep.content
    with pytest.raises(UserError, match="does not log seconds"):
        sweep_of("search=vit_b_16", "search.metrics=[seconds]")
    with pytest.raises(UserError, match="logger=csv"):
        sweep_of("search=vit_b_16", "logger=csv")


def test_the_command_writes_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    line = ["wandb-sweep", "search=resnet50", "logger.project=faces", "trainer.max_epochs=3", "output=my.yaml"]
    monkeypatch.setattr(sys, "argv", ["gender-lightning", *line])
    main()
    text = (tmp_path / "my.yaml").read_text()
    content = yaml.safe_load(text)
    assert content["project"] == "faces" and "trainer.max_epochs=3" in content["command"]
    assert not any("output" in part for part in content["command"])
    assert "# W&B has no conditional ranges" in text and "wandb sweep my.yaml" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["gender-lightning", "wandb-sweep"])
    with pytest.raises(SystemExit):
        main()
    assert "There is nothing to search." in capsys.readouterr().err
