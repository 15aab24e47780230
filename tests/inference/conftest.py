from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gender_lightning.data.framing import Framing
from gender_lightning.models.backbones import create_backbone
from gender_lightning.models.checkpoints.checkpoint import ModelSpec, save_weights


@pytest.fixture(scope="session")
def small_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest network, untrained, at 32 px."""
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("small") / "best.ckpt"
    net = create_backbone("timm/test_resnet", image_size=32)
    save_weights(path, net.state_dict(), ModelSpec("timm/test_resnet", Framing(32)))
    return path


@pytest.fixture(scope="session")
def hopper() -> np.ndarray:
    """A photograph with one face, which ships with matplotlib: 600 x 512."""
    import matplotlib.cbook

    with Image.open(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)) as image:
        return np.array(image.convert("RGB"))


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty pictures in CelebA's proportions in two folders, one of them cut short."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(7)
    for number in range(40):
        folder = root / ("a" if number < 20 else "b/deeper")
        folder.mkdir(parents=True, exist_ok=True)
        small = rng.integers(40, 220, (6, 5, 3), dtype=np.uint8)
        Image.fromarray(small).resize((89, 109)).save(folder / f"{number:02d}.jpg", quality=90)
    broken = root / "a" / "07.jpg"
    broken.write_bytes(broken.read_bytes()[:400])
    return root
