from __future__ import annotations

import pytest
import torch

from gender_lightning.data.framing import Framing
from gender_lightning.inference.predictor import Predictor, load
from gender_lightning.models.backbones import create_backbone
from gender_lightning.models.checkpoints.checkpoint import ModelSpec, save_weights


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """An untrained network at 32 px, which takes every picture for a face."""
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("run") / "a.ckpt"
    save_weights(path, create_backbone("resnet18", image_size=32).state_dict(), ModelSpec("resnet18", Framing(32)))
    return load(path, device="cpu", faces="none")
