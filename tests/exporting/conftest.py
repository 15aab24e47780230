"""Checkpoints with random weights, and what needs the extra `export`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gender_lightning.models.backbones import create_backbone
from gender_lightning.models.checkpoints.checkpoint import ModelSpec, save_weights


@pytest.fixture(scope="session")
def checkpoint_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A checkpoint file of a backbone; further fields of its spec as keywords."""

    def make(backbone: str, image_size: int, **fields: object) -> Path:
        torch.manual_seed(1)
        path = tmp_path_factory.mktemp("checkpoint") / "best.ckpt"
        net = create_backbone(backbone, image_size=image_size)
        # Batch norms that have seen data, or a random network says nearly the same of every picture.
        net.train()
        with torch.no_grad():
            net(torch.randn(16, 3, image_size, image_size))
        save_weights(
            path, net.state_dict(), ModelSpec.from_dict({"backbone": backbone, "image_size": image_size, **fields})
        )
        return path

    return make


@pytest.fixture(scope="session")
def small_checkpoint(checkpoint_of: Callable[..., Path]) -> Path:
    """With everything that can be in a graph: zoom, bicubic, flip, temperature, threshold."""
    return checkpoint_of(
        "timm/test_resnet",
        32,
        zoom=0.8,
        interpolation="bicubic",
        test_time_flip=True,
        test_time_zooms=(1.0, 1.5),
        temperature=0.4,
        threshold=0.45,
    )
