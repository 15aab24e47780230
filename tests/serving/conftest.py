from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gender_lightning.data.framing import Framing
from gender_lightning.inference.predictor import Predictor, load
from gender_lightning.models.backbones import create_backbone
from gender_lightning.models.checkpoints.checkpoint import ModelSpec, save_weights


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest network, untrained, at 32 px."""
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("served") / "best.ckpt"
    net = create_backbone("timm/test_resnet", image_size=32)
    save_weights(path, net.state_dict(), ModelSpec("timm/test_resnet", Framing(32)))
    return path


@pytest.fixture(scope="session")
def predictor(checkpoint: Path) -> Predictor:
    """It takes every picture for a face."""
    return load(checkpoint, device="cpu", faces="none", min_confidence=0.51)
