"""The committed loss curves: 20 steps of every backbone, float32, fixed seed, on pictures made of integers.

A change that should not alter results must give them again (`test_loss_curves.py`). One that should, says so and
writes them anew:

    python tests/training/losses/loss_curves.py
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from PIL import Image

from gender_lightning.commands.steps.preparation import prepare
from gender_lightning.config import TrainConfig, parse_config
from gender_lightning.overrides import compose

FILE = Path(__file__).with_name("loss_curves.json")
BACKBONES = ("resnet18", "resnet50", "googlenet", "vgg19", "efficientnet_b0", "efficientnet_v2_s", "vit_b_16",
             "convnext_tiny")  # fmt: skip
STEPS, PER_CLASS, SIDE = 20, 20, 72


class Losses(pl.Callback):
    """The loss of each step."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs, *_) -> None:  # type: ignore[no-untyped-def]
        self.values.append(float(outputs["loss"]))


def write_pictures(root: Path) -> None:
    """Class folders of PNG files, which every decoder reads alike; stripes across or along, colours by hashing."""
    y, x = np.mgrid[:SIDE, :SIDE]
    for male, name in enumerate(("female", "male")):
        (root / name).mkdir(parents=True)
        for number in range(PER_CLASS):
            along = x if male else y
            colours = [(number * 53 + channel * 97 + male * 31) % 128 for channel in range(3)]
            stripes = ((along * (number % 5 + 2)) // 8 % 2) * 90
            pixels = np.stack([stripes + colour + (x * y + number) % 23 for colour in colours], axis=2)
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{number:02d}.png")


def loss_curve(backbone: str, root: Path) -> list[float]:
    """The training as `train` would do it, through the same parts, without a run directory."""
    typed = [
        f"model={backbone}", "data=folder", f"data.root={root}", "data.image_size=64", "data.batch_size=8",
        "data.workers=0", "data.sizes={train: 1.0, valid: 0.0, test: 0.0}", "test=false",
        "optimizer=sgd", "optimizer.lr=1e-3", "trainer.max_epochs=4", "trainer.precision=32-true", "trainer=cpu",
        "seed=7",
    ]  # fmt: skip
    parts = prepare(parse_config(TrainConfig, compose("train", typed)))
    losses = Losses()
    trainer = pl.Trainer(
        accelerator="cpu", devices=1, max_epochs=4, max_steps=STEPS, callbacks=[losses], logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, gradient_clip_val=1.0,
        use_distributed_sampler=False, num_sanity_val_steps=0, limit_val_batches=0,
    )  # fmt: skip
    trainer.fit(parts.model, parts.data)
    assert len(losses.values) == STEPS
    return losses.values


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "pictures"
        write_pictures(root)
        curves = {name: [float(f"{loss:.6g}") for loss in loss_curve(name, root)] for name in BACKBONES}
    lines = [f'  "{name}": {json.dumps(curve)}' for name, curve in curves.items()]
    FILE.write_text(f'{{\n  "torch": "{torch.__version__}",\n' + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
