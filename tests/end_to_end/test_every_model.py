"""Every file of `conf/model/` through one step of training, validation and test."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gender_lightning import load
from gender_lightning.data.synthetic import draw_faces
from gender_lightning.overrides import groups

QUICK = {"resnet18", "googlenet", "efficientnet_b0", "timm"}
MODELS = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in groups()["model"]]


@pytest.mark.parametrize("model", MODELS)
def test_one_step(train: Callable[..., Path], model: str) -> None:
    # no momentum: the state of VGG19 alone would be half a gigabyte
    plain = ("optimizer=sgd", "optimizer.momentum=0", "optimizer.nesterov=false", "optimizer.lr=0.001")
    debug = ("trainer=debug", "trainer.accelerator=cpu", "data.batch_size=4", "data.eval_batch_size=15")
    run = train("run", f"model={model}", *debug, *plain)
    try:
        assert len((run / "metrics.csv").read_text().splitlines()) == 2
        assert np.isfinite(json.loads((run / "metrics.json").read_text())["test/loss"])
        assert load(run, device="cpu").predict(np.zeros((40, 30, 3), np.uint8)).label in ("female", "male")
    finally:
        shutil.rmtree(run / "checkpoints")


@pytest.fixture(scope="module")
def many_faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("many") / "faces"
    draw_faces(root, {"train": 768, "valid": 200, "test": 20}, seed=3)
    return root


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("model", groups()["model"])
def test_learns_with_nothing_else_chosen(train: Callable[..., Path], many_faces: Path, model: str) -> None:
    faces = (f"data.root={many_faces}", "data.image_size=64", "data.batch_size=32", "test=false")
    run = train("run", f"model={model}", *faces, "trainer.max_epochs=4", "trainer.precision=auto")
    try:
        with (run / "metrics.csv").open() as file:
            reached = [float(row["val/auroc"]) for row in csv.DictReader(file)]
        assert max(reached) > 0.75, reached  # chance is 0.5; for 200 images its standard error is 0.04
    finally:
        shutil.rmtree(run / "checkpoints")
