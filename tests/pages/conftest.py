"""A place in which the commands of README and manual are typed."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import pandas as pd
import pytest
import torch
from built_once import built_once
from PIL import Image
from typed_commands import type_in

from gender_lightning.synthetic.faces import draw_faces, synthetic_faces

SIZES = "data.sizes={train:320,valid:64,test:64}"
TAUGHT = [SIZES, "data.batch_size=16", "augmentation=light", "trainer.max_epochs=4", "logger=csv"]  # tells some apart
MINE = """
import pytorch_lightning as pl
import torch


class Fog(torch.nn.Module):
    def forward(self, images):
        return images * 0.9 + 0.1


class Beep(pl.Callback):
    pass
"""


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A directory with everything that the commands are given: runs, checkpoints, photographs, a film, a package.

    Commands write into it, so each worker has a copy. The first one stays: the runs name their faces by full path.
    """
    built = built_once("house", build, tmp_path_factory, worker_id)
    return shutil.copytree(built, tmp_path_factory.mktemp("house"), dirs_exist_ok=True)


def build(place: Path) -> None:
    """Fill the directory."""
    for seed, where in enumerate(("runs/train/A", "runs/train/B"), 1):
        network = ["model=resnet18"] if seed == 1 else ["model=timm", "model.name=timm/test_resnet"]  # the fastest
        typed = [*network, "data.image_size=48", f"seed={seed}", f"run_dir={where}", *TAUGHT]
        type_in(["train", *typed], place / "cache", place)
    for name in ("RUN", "RUN2", "runs/train/2026-11-23_20-46-00", "runs/train/2026-01-31_12-00-00"):
        shutil.copytree(place / "runs/train/A", place / name)
    best = place / "runs/train/A/checkpoints/best.ckpt"
    shutil.copy(best, place / "best.ckpt")
    shutil.copy(place / "RUN/predictions/test.parquet", place / "predictions.parquet")
    torch.save(torch.load(best, weights_only=True)["state_dict"], place / "weights.pt")
    answers = pd.read_parquet(place / "RUN/predictions/test.parquet", columns=["image_id", "probability"])
    answers.to_csv(place / "theirs.csv", index=False)
    faces, labels = synthetic_faces(100, seed=4)[:2]  # a refit wants ten of each class in a half
    for face, label in zip(faces, labels, strict=True):
        for root in ("photos", "faces"):
            folder = place / root / ("male" if label else "female")
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(face).save(folder / f"{len(list(folder.iterdir()))}.jpg")
    for name in ("photo.jpg", "photos/1.jpg"):
        Image.fromarray(faces[0]).save(place / name)
    draw_faces(place / "data/celeba", {"train": 64, "valid": 32, "test": 32}, seed=5)
    height, width = faces[0].shape[:2]
    film = cv2.VideoWriter(str(place / "hall.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 25, (width, height))
    for face in faces[:60]:
        film.write(face[..., ::-1])
    film.release()
    shutil.copy(place / "hall.mp4", place / "holiday.mp4")
    (place / "mine" / "experiment").mkdir(parents=True)
    (place / "mine" / "__init__.py").write_text(MINE)
