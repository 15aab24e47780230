"""Runs that were never trained: the tiniest networks, with predictions on valid."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from gender_lightning.data.framing import Framing
from gender_lightning.models.backbones import create_backbone
from gender_lightning.models.checkpoints.checkpoint import ModelSpec, save_weights

SIZES = (32, 48)


def make_run(
    path: Path, seed: int, ids: list[str] | None = None, data: dict[str, object] | None = None, **spec: object
) -> Path:
    """A run with an untrained network and the predictions on valid that a fair one would have made."""
    (path / "checkpoints").mkdir(parents=True)
    (path / "run.json").write_text("{}")
    (path / "config.yaml").write_text(json.dumps({"data": data or {"name": "celeba"}}))
    torch.manual_seed(seed)
    size = SIZES[seed % 2]
    net = create_backbone("timm/test_resnet", image_size=size)
    described = ModelSpec("timm/test_resnet", Framing(size), **{"temperature": 0.5 + seed, **spec})  # type: ignore[arg-type]
    save_weights(path / "checkpoints" / "best.ckpt", net.state_dict(), described)
    ids = ids or [f"{row:03d}.jpg" for row in range(400)]
    labels = np.array([int(name[:3]) % 2 for name in ids], dtype=np.int8)
    logits = (1.5 * (2 * labels - 1) + np.random.default_rng(seed).normal(0, 2, len(ids))).astype(np.float32)
    (path / "predictions").mkdir()
    pd.DataFrame({
        "image_id": ids, "split": "valid", "label": labels, "logit": logits, "probability": logits,
        "identity": pd.array([int(name[:3]) for name in ids], dtype="Int32"),
    }).to_parquet(path / "predictions" / "valid.parquet")  # fmt: skip
    return path
