"""Every file of `conf/model/` through one step of training, validation and test."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gender_lightning import load
from gender_lightning.overrides import groups

QUICK = ("resnet18", "googlenet", "efficientnet_b0", "timm")  # the others below, while they learn
# One with the plain rate, and the one that the plain rate leaves at chance; of all CI repeats the loss curves.
IN_CI = ("resnet18", "vgg19")


@pytest.mark.parametrize("model", QUICK)
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
def plain_cue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures whose classes one glance tells apart, augmented or not: males are bright above."""
    root = tmp_path_factory.mktemp("cue") / "pictures"
    draw = np.random.default_rng(3)
    for split, n in {"train": 512, "valid": 128, "test": 16}.items():
        for male, name in enumerate(("female", "male")):
            (root / split / name).mkdir(parents=True)
            for number in range(n // 2):
                blocks = draw.integers(60, 160, (8, 8, 3), dtype=np.uint8)
                blocks[:4] += np.uint8(60 * male)
                blocks[4:] += np.uint8(60 * (1 - male))
                Image.fromarray(blocks).resize((72, 72)).save(root / split / name / f"{number}.png")
    return root


# once the cue is learned there is nothing more to see: VGG19 takes minutes for each epoch on two cores
_STOP = {
    "_target_": "pytorch_lightning.callbacks.EarlyStopping", "monitor": "val/auroc", "mode": "max",
    "stopping_threshold": 0.75, "patience": 9,
}  # fmt: skip
STOP = [f"+callbacks.extra.stop.{name}={value}" for name, value in _STOP.items()]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "model", [pytest.param(name, marks=() if name in IN_CI else pytest.mark.nightly) for name in groups()["model"]]
)
def test_learns_with_nothing_else_chosen(
    command: Callable[..., None], plain_cue: Path, tmp_path: Path, model: str
) -> None:
    """The menu's rates are such that each network learns: VGG19 at ResNet50's rate stays at chance for ever."""
    pictures = ("data=folder", f"data.root={plain_cue}", "data.image_size=32", "data.batch_size=32", "data.workers=0")
    run = tmp_path / "run"
    command("train", f"model={model}", *pictures, f"run_dir={run}", "trainer.accelerator=cpu", "logger=csv",
            "trainer.max_epochs=4", *STOP)  # fmt: skip
    try:
        with (run / "metrics.csv").open() as file:
            reached = [float(row["val/auroc"]) for row in csv.DictReader(file)]
        assert max(reached) > 0.75, reached  # chance is 0.5; for 128 images its standard error is 0.05
        assert np.isfinite(json.loads((run / "metrics.json").read_text())["test/loss"])
        assert load(run, device="cpu").predict(np.zeros((40, 30, 3), np.uint8)).label in ("female", "male")
    finally:
        shutil.rmtree(run / "checkpoints")
