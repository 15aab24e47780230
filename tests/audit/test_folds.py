"""Folds by persons: nobody is in two, and every label is judged by a model that has not seen the person."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from gender_lightning.commands.data import data
from gender_lightning.commands.steps.audit_models import check_recipe
from gender_lightning.config import DataCommandConfig, parse_config
from gender_lightning.data.rows.folds import fold_of
from gender_lightning.data.sources.annotations import Index, read_celeba
from gender_lightning.errors import UserErrors
from gender_lightning.overrides import compose

RECIPE = ("model=timm", "model.name=timm/test_resnet", "data.image_size=32", "data.batch_size=16", "logger=csv",
          "trainer.max_epochs=1", "augmentation=none", "trainer=cpu")  # fmt: skip
TINY = "recipe=[" + ",".join(f'"{text}"' for text in RECIPE) + "]"


def index(identities: np.ndarray | None, n: int) -> Index:
    return Index(
        np.array([f"{row}.jpg" for row in range(n)], dtype=np.bytes_), np.zeros(n, np.int8), np.zeros(n, np.int8),
        np.zeros((n, 0), np.bool_), (), identities,
    )  # fmt: skip


def test_persons_and_duplicates_stay_together_in_folds_of_about_equal_size() -> None:
    rng = np.random.default_rng(0)
    persons = rng.integers(0, 200, 2000).astype(np.int32)
    pairs = rng.integers(0, 2000, (30, 2))
    fold = fold_of(index(persons, 2000), pairs, 5, seed=0)
    assert all(len(set(fold[persons == person].tolist())) == 1 for person in set(persons.tolist()))
    assert (fold[pairs[:, 0]] == fold[pairs[:, 1]]).all()
    assert np.bincount(fold, minlength=5).min() > 250 and fold.max() == 4
    unknown = fold_of(index(None, 100), np.array([[3, 70]]), 4, seed=0)
    assert unknown[3] == unknown[70] and np.bincount(unknown).tolist() == pytest.approx([25] * 4, abs=2)


def test_a_recipe_that_train_refuses_is_refused_at_once() -> None:
    config = parse_config(DataCommandConfig, compose("data", ["folds=2", 'recipe=["modle=resnet18","trainer.lr=0"]']))
    with pytest.raises(UserErrors, match="Did you mean 'model'"):
        check_recipe(config)


@pytest.mark.slow
def test_every_image_is_judged_by_a_model_that_has_not_seen_the_person(tmp_path: Path) -> None:
    typed = ["data=synthetic", f"data.root={tmp_path / 'faces'}", "data.sizes={train:100,valid:80,test:20}", "folds=2",
             f"output={tmp_path / 'out'}", "accelerator=cpu", TINY, "images=false"]  # fmt: skip
    config = parse_config(DataCommandConfig, compose("data", typed))
    data("audit", config)
    found = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert found["findings"]["suspects"]["of"] == 200
    everybody = read_celeba(tmp_path / "faces").image_ids.tolist()
    listed = []
    for number in range(2):
        with (tmp_path / "out" / "folds" / f"{number}-held-out.csv").open() as file:
            listed += [row["image_id"].encode() for row in csv.DictReader(file)]
        log = (tmp_path / "out" / "folds" / str(number) / "log.txt").read_text()
        assert "data.exclude:" in log and "of test are listed too and stay" in log
    assert sorted(listed) == sorted(everybody)
    before = (tmp_path / "out" / "folds" / "0" / "run.json").stat().st_mtime_ns
    data("audit", config)  # nothing is trained again
    assert json.loads((tmp_path / "out" / "audit.json").read_text())["findings"] == found["findings"]
    assert (tmp_path / "out" / "folds" / "0" / "run.json").stat().st_mtime_ns == before
