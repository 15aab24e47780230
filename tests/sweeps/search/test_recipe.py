"""What is printed as the best composes to what was the best."""

from __future__ import annotations

import shlex
from pathlib import Path

import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from gender_lightning.config.location import conf_dir
from gender_lightning.overrides import groups
from gender_lightning.sweeps.search.recipe import command_line, experiment

OVERRIDES = (
    "experiment=celeba_mini", "optimizer=sgd", "optimizer.lr=0.012", "data.root='a, b'", "logger.tags=[x,y]",
    "+optimizer.foreach=true", "augmentation=light", "model.freeze=2",
)  # fmt: skip


def test_the_experiment_is_the_command(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    text = experiment(OVERRIDES, groups(), note="the best")
    (tmp_path / "experiment" / "best.yaml").write_text(text)
    assert text.startswith("# @package _global_\n") and yaml.safe_load(text)["defaults"][0] == "celeba_mini"
    found = [f"hydra.searchpath=[file://{tmp_path}]"]
    with initialize_config_dir(version_base="1.3", config_dir=str(conf_dir())):
        theirs = compose("train", shlex.split(command_line(OVERRIDES))[2:])
        ours = compose("train", ["experiment=best", *found])
    for config in (theirs, ours):
        config.run_dir = ""
    assert OmegaConf.to_container(ours, resolve=True) == OmegaConf.to_container(theirs, resolve=True)
