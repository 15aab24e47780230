"""Every file of `conf/model/` through one step of training, validation and test."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gender_lightning import load
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
