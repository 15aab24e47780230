"""The shipped experiments, for a few steps at a fraction of their size."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml

from gender_lightning import load
from gender_lightning.config import TrainConfig, parse_config
from gender_lightning.overrides import compose

Train = Callable[..., Path]
SMALL = (
    "data.image_size=32", "data.batch_size=8", "data.workers=0", "model.pretrained=false", "logger=csv",
    "trainer.max_epochs=2", "trainer.accelerator=cpu", "trainer.precision=32-true",
)  # fmt: skip


@pytest.fixture
def recipe(command: Callable[..., None], faces: Path, tmp_path: Path) -> Train:
    def run(name: str, *overrides: str) -> Path:
        command("train", f"experiment={name}", f"data.root={faces}", f"run_dir={tmp_path / 'run'}", *SMALL, *overrides)
        return tmp_path / "run"

    return run


@pytest.mark.slow
@pytest.mark.parametrize("name", ["celeba", "celeba_mini", "robust"])
def test_a_recipe_for_official_splits(recipe: Train, name: str) -> None:
    run = recipe(name, "trainer.limit_train_batches=3", "trainer.max_epochs=1", "model.freeze=none")
    assert len(pd.read_parquet(run / "predictions" / "test.parquet")) == 13
    spec = load(run, device="cpu").spec
    assert spec.backbone == "resnet50" and spec.test_time_flip
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["name"] == name and config["callbacks"]["ema"]["decay"] > 0


def test_the_decks_study_has_no_valid_split(recipe: Train) -> None:
    run = recipe("deck", "model=resnet18", "data.sizes={train: 20, valid: 0, test: 8}")
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics and all(name.startswith("test/") for name in metrics)
    assert [path.name for path in (run / "predictions").iterdir()] == ["test.parquet"]
    files = [run / "checkpoints" / f"{name}.ckpt" for name in ("best", "last")]
    best, last = (torch.load(file, weights_only=True)["state_dict"] for file in files)
    assert all(torch.equal(value, last[f"net.{name}"]) for name, value in best.items()), "the last epoch is the best"
    spec = load(run, device="cpu").spec
    assert (spec.temperature, spec.threshold, spec.framing.crop) == (1.0, 0.5, "none")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("data.sizes={train: 20, valid: 0, test: 8}", "scheduler=plateau"), "scheduler=plateau monitors"),
        (("data.sizes={train: 20, valid: 8, test: 0}",), "test=false"),
        (("data.sizes={train: 20, valid: 8, test: 8}", "callbacks.checkpoint.monitor=val/acuracy"), "'val/accuracy'"),
        (("data.sizes={train: 20, valid: 8, test: 8}", "+optimizer.momentun=0.9"), "momentun"),
    ],
    ids=["plateau", "test", "monitor", "optimizer"],
)
def test_what_would_fail_at_the_end_is_told_at_the_start(
    recipe: Train, capsys: pytest.CaptureFixture[str], tmp_path: Path, overrides: tuple[str, ...], said: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        recipe("deck", "model=resnet18", *overrides)
    assert stop.value.code == 2 and said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_the_clean_study_keeps_people_apart_and_chooses_on_valid(recipe: Train, faces: Path) -> None:
    run = recipe("deck_clean", "model=resnet18", "data.sizes={train: 20, valid: 12, test: 12}", "trainer.max_epochs=1")
    valid, test = (pd.read_parquet(run / "predictions" / f"{split}.parquet") for split in ("valid", "test"))
    assert len(valid) == len(test) == 12 and not set(valid["identity"]) & set(test["identity"])
    assert "val/accuracy" in json.loads((run / "metrics.json").read_text())


@pytest.mark.slow
def test_the_small_comparison_is_one_budget_for_every_backbone(recipe: Train) -> None:
    run = recipe("mini_compare", "model=resnet18", "trainer.limit_train_batches=3")
    valid, test = (pd.read_parquet(run / "predictions" / f"{split}.parquet") for split in ("valid", "test"))
    assert not set(valid["identity"]) & set(test["identity"])
    assert "val/accuracy" in json.loads((run / "metrics.json").read_text())
    backbones = ("resnet50", "googlenet", "vgg19", "efficientnet_b0", "vit_b_16", "convnext_tiny")
    budgets = []
    for model in backbones:
        composed = compose("train", ["experiment=mini_compare", f"model={model}"])
        assert parse_config(TrainConfig, composed).model.name == model and not composed["model"]["pretrained"]
        budgets.append([composed[section] for section in ("data", "augmentation", "trainer", "scheduler", "loss")])
    assert all(budget == budgets[0] for budget in budgets)
