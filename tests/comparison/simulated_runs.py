"""Run directories as `train` leaves them, made without training: predictions of a simulated model."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gender_lightning.data.framing import Framing
from gender_lightning.evaluation.metric_list import sigmoid
from gender_lightning.evaluation.predictions import write_predictions
from gender_lightning.models.backbones import create_backbone
from gender_lightning.models.checkpoints.checkpoint import ModelSpec, save_weights
from gender_lightning.overrides import compose
from gender_lightning.runs import to_yaml

MakeRun = Callable[..., Path]
ATTRIBUTES = ("Eyeglasses", "Smiling", "Wearing_Hat", "Wearing_Lipstick", "Young")


def predictions(
    *, images: int = 400, people: int = 40, skill: float = 2.0, split: str = "test", noise: int = 0, world: int = 0
) -> pd.DataFrame:
    """A model of some skill on faces of some people: hard faces are hard for every model.

    Args:
        images: Rows.
        people: They are of.
        skill: Distance of the classes' mean logits; the more, the better.
        split: Name of the split.
        noise: Seed of the model's own part.
        world: Seed of the faces; the same for models that saw the same ones.
    """
    faces, own = np.random.default_rng(world), np.random.default_rng([world, noise, round(1000 * skill)])
    identity = np.sort(faces.integers(0, people, images))
    male = faces.random(people)[identity] < 0.4
    hard = faces.normal(size=people)[identity] + faces.normal(size=images)
    attributes = faces.random((images, len(ATTRIBUTES))) < 0.3
    logit = (np.where(male, 1.0, -1.0) * skill + hard + 0.7 * own.normal(size=images)).astype(np.float32)
    table = {
        "image_id": [f"{row:06d}.jpg" for row in range(images)],
        "split": split,
        "label": male.astype(np.int8),
        "logit": logit,
        "probability": sigmoid(logit.astype(np.float64)).astype(np.float32),
        "identity": pd.array(identity + 1, dtype="Int32"),
        **{name: attributes[:, place] for place, name in enumerate(ATTRIBUTES)},
    }
    return pd.DataFrame(table).astype({"image_id": "str", "split": "str"})


def make_run_at(
    path: Path,
    *overrides: str,
    seed: int = 1,
    skill: float = 2.0,
    status: str = "done",
    splits: Sequence[str] = ("valid", "test"),
    checkpoint: bool = False,
    info: dict[str, Any] | None = None,
    **faces: Any,
) -> Path:
    """Everything of a run that `compare` reads, in `path`."""
    typed = [f"run_dir={path}", *overrides, f"seed={seed}"]
    config = compose("train", typed)
    (path / "checkpoints").mkdir(parents=True)
    (path / "config.yaml").write_text(to_yaml(config))
    (path / "overrides.yaml").write_text(to_yaml(typed))
    content = {"status": status, "created": f"2026-01-01T00:00:{seed % 60:02d}", "seconds": 120.0 + seed}
    content |= {"images_per_second": 50.0, "hardware": {"cpu": "x", "cores": 2, "gpus": []}}
    (path / "run.json").write_text(json.dumps({**content, **(info or {})}))
    for split in splits:
        table = predictions(skill=skill, split=split, noise=seed, **faces)
        write_predictions(table, path / "predictions" / f"{split}.parquet")
    if checkpoint:
        model, size = config["model"], config["data"]["image_size"]
        net = create_backbone(model["name"], image_size=size, arguments=model["arguments"])
        save_weights(path / "checkpoints" / "best.ckpt", net.state_dict(), ModelSpec(model["name"], Framing(size)))
    return path
