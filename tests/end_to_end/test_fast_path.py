"""The fast path is as accurate as the plain one: float32, contiguous, torchvision's transforms image by image.

The plain path is written out here with nothing of ours but the label files; both train the same network, from the same
kind of start, by the same optimizer and schedule, on the same drawn faces.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from torch.utils.data import DataLoader

from gender_lightning.benchmarks.common import CommonDataset, common_transform
from gender_lightning.config import TrainConfig, parse_config
from gender_lightning.data.sources.annotations import read_celeba
from gender_lightning.overrides import compose
from gender_lightning.synthetic.faces import draw_faces
from gender_lightning.training.sections import augmentation_settings
from gender_lightning.transforms import AugmentationSettings

SIZE, BATCH, EPOCHS, RATE, DECAY, WARMUP = 32, 32, 5, 1e-3, 0.05, 1.0
SEEDS = (1, 2)


@pytest.fixture(scope="module")
def many_faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("fast") / "faces"
    draw_faces(root, {"train": 1200, "valid": 40, "test": 600}, seed=5, workers=2)
    return root


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.timeout(1200)
def test_fast_and_plain_reach_the_same_accuracy(many_faces: Path, command: Callable[..., None], tmp_path: Path) -> None:
    fast = [_fast(many_faces, command, tmp_path / str(seed), seed) for seed in SEEDS]
    plain = [_plain(many_faces, seed) for seed in SEEDS]
    print(f"fast {fast} plain {plain}")  # noqa: T201
    noise = math.sqrt((np.var(fast, ddof=1) + np.var(plain, ddof=1)) / len(SEEDS))
    binomial = math.sqrt(2 * 0.1 * 0.9 / 600)  # of two accuracies near 0.9 on 600 faces
    assert abs(np.mean(fast) - np.mean(plain)) < 3 * max(noise, binomial / math.sqrt(len(SEEDS)))
    assert min(*fast, *plain) > 0.6, "one has not learned"  # chance is 0.5 with a standard error of 0.02


def _fast(faces: Path, command: Callable[..., None], run: Path, seed: int) -> float:
    command(
        "train", "data=celeba", f"data.root={faces}", f"data.image_size={SIZE}", f"data.batch_size={BATCH}",
        "model=resnet18", f"optimizer.lr={RATE}", f"optimizer.weight_decay={DECAY}", f"trainer.max_epochs={EPOCHS}",
        f"scheduler.warmup_epochs={WARMUP}", "logger=csv", f"seed={seed}", f"run_dir={run}",
        "callbacks.checkpoint.monitor=val/loss", "callbacks.checkpoint.mode=min",
    )  # fmt: skip
    return float(json.loads((run / "metrics.json").read_text())["test/accuracy"])


def _plain(faces: Path, seed: int) -> float:
    settings = augmentation_settings(parse_config(TrainConfig, compose("train")).augmentation)
    index = read_celeba(faces)

    def loader(split: str, augmented: AugmentationSettings, shuffle: bool) -> DataLoader:
        rows = index.split(split)
        paths = [str(faces / "img_align_celeba" / index.image_ids[row].decode()) for row in rows]
        dataset = CommonDataset(paths, index.labels[rows].tolist(), common_transform(augmented, SIZE, "square"))
        return DataLoader(dataset, BATCH, shuffle=shuffle, drop_last=shuffle, num_workers=1)

    torch.manual_seed(seed)
    net = torchvision.models.resnet18(num_classes=1)
    decayed = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=RATE)
    training = loader("train", settings, shuffle=True)
    warm, total = WARMUP * len(training), EPOCHS * len(training)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min((step + 1) / warm, 0.5 * (1 + math.cos(math.pi * max(0.0, step - warm) / (total - warm)))),
    )
    for _ in range(EPOCHS):
        for images, labels in training:
            loss = torch.nn.functional.binary_cross_entropy_with_logits(net(images)[:, 0], labels)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    net.eval()
    with torch.no_grad():
        right = [
            ((net(images)[:, 0] > 0) == (labels > 0.5)).float().mean() * len(labels)
            for images, labels in loader("test", AugmentationSettings(), shuffle=False)
        ]
    return float(sum(right)) / 600
