"""The baseline: a training script as found in tutorials, which imports nothing from gender_lightning.

It uses PIL, torchvision's v1 transforms in the workers, float32 and Lightning's defaults, and runs on its own:

    python -m gender_lightning.benchmarks.textbook FILES.csv RESULT.json --backbone resnet50 --image-size 112

FILES.csv has `path,label` lines. RESULT.json receives the images/s of each epoch, without validation and checkpoints.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import torchmetrics
import torchvision
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms


class CsvDataset(Dataset[tuple[Tensor, Tensor]]):
    """Images and labels listed in a CSV file."""

    def __init__(self, file: Path, transform: Any) -> None:
        with file.open(newline="") as rows:
            self.rows = [(path, int(label)) for path, label in csv.reader(rows)]
        self.transform = transform

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, item: int) -> tuple[Tensor, Tensor]:
        path, label = self.rows[item]
        return self.transform(Image.open(path).convert("RGB")), torch.tensor(float(label))


class Classifier(pl.LightningModule):
    """A torchvision network with one output."""

    def __init__(self, backbone: str, lr: float) -> None:
        super().__init__()
        self.net = torchvision.models.get_model(backbone, weights=None, num_classes=1)
        self.loss = nn.BCEWithLogitsLoss()
        self.accuracy = torchmetrics.classification.BinaryAccuracy()
        self.lr = lr

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Compute the loss of a batch of images (B, 3, S, S) and labels (B,)."""
        images, labels = batch
        output = self.net(images)
        logits = (output if isinstance(output, Tensor) else output.logits).squeeze(1)  # GoogLeNet returns a tuple
        loss: Tensor = self.loss(logits, labels)
        self.log("train_loss", loss, prog_bar=True)
        self.log("train_acc", self.accuracy(logits, labels), prog_bar=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Create an Adam optimizer."""
        return torch.optim.Adam(self.parameters(), lr=self.lr)


class Clock(pl.Callback):
    """Measures images per second; the only part that a tutorial would not have."""

    def __init__(self) -> None:
        self.images_per_second: list[float] = []
        self.images = 0
        self.start = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self.images, self.start = 0, time.perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the images of a batch."""
        self.images += len(batch[0])

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop the clock once the device has finished."""
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize()
        self.images_per_second.append(self.images / (time.perf_counter() - self.start))


def main() -> None:
    """Train, and write the speed to a file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("files", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("--backbone", default="resnet50")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--steps", type=int, default=None, help="per epoch")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--accelerator", default="auto")
    arguments = parser.parse_args()

    transform = transforms.Compose(
        [
            transforms.Resize((arguments.image_size, arguments.image_size)),
            transforms.RandomRotation(15),
            transforms.RandomHorizontalFlip(),
            transforms.ColorJitter(0.3, 0.3, 0.3, 0.02),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
            transforms.RandomErasing(0.1),
        ]
    )
    loader = DataLoader(
        CsvDataset(arguments.files, transform),
        batch_size=arguments.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=os.cpu_count() or 1,
    )
    clock = Clock()
    trainer = pl.Trainer(
        max_epochs=arguments.epochs,
        limit_train_batches=arguments.steps,
        accelerator=arguments.accelerator,
        devices=1,
        callbacks=[clock],
        default_root_dir=arguments.result.parent,
    )
    trainer.fit(Classifier(arguments.backbone, arguments.lr), loader)
    arguments.result.write_text(json.dumps(clock.images_per_second))


if __name__ == "__main__":
    main()
