"""The processor's part of a training, measured in processor time, so that other programs hardly disturb it.

    python -m gender_lightning.benchmarks.processor_time step augmentation data data-cache --root FACES

- `step`: microseconds of a training step with an empty network, without the loading of its batch
- `augmentation`: microseconds per image of `augmentation=standard` on one core, at 48, 96 and 224 px
- `data`: microseconds per image of an epoch, and of the loading in it, at 48 and 64 px with the empty network;
  `data-cache`: the same from `data.cache`

Each line of the output is a JSON object. The file depends on commands and public classes only, so a copy of it under
another name measures an older revision: `PYTHONPATH=OLD:COPY python COPY/processor_time.py step`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytorch_lightning as pl
import torch
from timm.models import register_model
from torch import Tensor, nn

from gender_lightning.data.dataset import Batch, FaceDataset
from gender_lightning.transforms import Augment, AugmentationSettings, ColorJitter

FACES = 2000
RESULT = "PROCESSOR_TIME_RESULT"  # names the file into which a training writes its figures
STANDARD = AugmentationSettings(
    random_rotation=10, random_horizontal_flip=0.5, color_jitter=ColorJitter(0.2, 0.2, 0.2, 0.02), random_erasing=0.1,
    random_scale=(0.9, 1.1), random_translation=0.05,
)  # fmt: skip


class Empty(nn.Module):
    """A network that looks at one pixel."""

    num_features = 3

    def __init__(self) -> None:
        super().__init__()
        self.fc: nn.Module = nn.Linear(3, 1, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Logits, float32 (B, 1), of images, float32 (B, 3, H, W)."""
        logits: Tensor = self.fc(images[:, :, 0, 0])
        return logits

    def get_classifier(self) -> nn.Module:
        """The last layer."""
        return self.fc

    def reset_classifier(self, num_classes: int) -> None:
        """A new last layer."""
        self.fc = nn.Linear(3, num_classes, bias=False) if num_classes else nn.Identity()


@register_model
def empty_network(**_: Any) -> nn.Module:
    """The network for `model.name=timm/empty_network`."""
    return Empty()


class Watch(pl.Callback):
    """Writes the processor time of each epoch's training, and the part of it that loads batches, in seconds."""

    def __init__(self) -> None:
        self.loading, self.epochs, self.started = 0.0, [], 0.0  # type: tuple[float, list[Any], float]
        load = FaceDataset.__getitems__

        def timed(dataset: FaceDataset, rows: Sequence[int]) -> Batch:
            before = time.process_time()
            try:
                return load(dataset, rows)
            finally:
                self.loading += time.process_time() - before

        FaceDataset.__getitems__ = timed  # type: ignore[method-assign, assignment]

    def on_train_epoch_start(self, *_: Any) -> None:
        """Start the clocks."""
        self.loading, self.started = 0.0, time.process_time()

    def on_validation_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Stop them, once per epoch."""
        if trainer.state.fn == "fit":
            self.epochs.append((time.process_time() - self.started, self.loading, trainer.num_training_batches))
            Path(os.environ[RESULT]).write_text(json.dumps(self.epochs), encoding="utf-8")


def trained(overrides: Sequence[str], folder: Path) -> list[list[float]]:
    """The epochs of a training with the empty network: seconds, seconds of loading, steps."""
    module = Path(__file__).stem if __package__ in (None, "") else f"{__package__}.{Path(__file__).stem}"
    result = folder / "epochs.json"
    command = [
        sys.executable, "-m", "gender_lightning", "train", "model=timm", "model.name=timm/empty_network",
        f"packages=[{module}]", f"+callbacks.extra.watch={{_target_:{module}.Watch}}", "data.workers=0", "logger=csv",
        "test=false", "trainer.accelerator=cpu", "trainer.precision=32-true", f"run_dir={folder / 'run'}", *overrides,
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1", RESULT: str(result)}
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    epochs: list[list[float]] = json.loads(result.read_text(encoding="utf-8"))
    return epochs


def step(root: Path) -> dict[str, float]:
    """Microseconds per step, of the second and later epochs."""
    with TemporaryDirectory() as folder:
        size = ("data.limit=1600", "data.image_size=32", "data.batch_size=8", "trainer.max_epochs=3")
        data = ("data=celeba", f"data.root={root}", "augmentation=none")
        epochs = trained((*data, *size), Path(folder))[1:]
    return {"us_per_step": min(1e6 * (seconds - loading) / steps for seconds, loading, steps in epochs)}


def augmentation(root: Path, pixels: Sequence[int] = (48, 96, 224)) -> dict[str, float]:
    """Microseconds per image."""
    del root
    torch.set_num_threads(1)
    found = {}
    for side in pixels:
        count = 64 if side < 200 else 16
        images = torch.randint(256, (count, 3, side, side), dtype=torch.uint8)
        augment, rows = Augment(STANDARD, channels_last=True), torch.arange(count)
        times = []
        for number in range(9):
            before = time.process_time()
            augment(images, rows, number)
            times.append((time.process_time() - before) / count * 1e6)
        found[f"us_per_image_{side}"] = sorted(times)[len(times) // 2]
    return found


def data(root: Path, cached: bool = False) -> dict[str, float]:
    """Microseconds per image of an epoch after the first: of loading, and in all, with the empty network."""
    found: dict[str, float] = {}
    for side in (48, 64):
        with TemporaryDirectory() as folder:
            cache = (f"data.cache={folder}/cache",) if cached else ()
            sizes = (f"data.limit={FACES}", f"data.image_size={side}", "data.batch_size=64", "trainer.max_epochs=3")
            epochs = trained(("data=celeba", f"data.root={root}", *sizes, *cache), Path(folder))[1:]
        seconds, loading = (min(epoch[column] for epoch in epochs) for column in (0, 1))
        found |= {f"us_per_image_{side}": 1e6 * seconds / FACES, f"us_loading_{side}": 1e6 * loading / FACES}
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parts: dict[str, Callable[[Path], dict[str, float]]] = {
        "step": step, "augmentation": augmentation, "data": data, "data-cache": partial(data, cached=True),
    }  # fmt: skip
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=parts)
    parser.add_argument("--root", type=Path, help="a folder with CelebA's layout; not needed for augmentation")
    chosen = parser.parse_args(arguments)
    for name in chosen.parts:
        found = parts[name](chosen.root)
        sys.stdout.write(json.dumps({"part": name, **{key: round(value, 3) for key, value in found.items()}}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
