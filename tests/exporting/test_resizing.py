from __future__ import annotations

import itertools
from typing import get_args

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as F

from gender_lightning.data.decoding import frame_tensor
from gender_lightning.data.framing import Crop, Framing
from gender_lightning.exporting.resizing import GraphFraming

SIZES = [(218, 178), (109, 89), (90, 400), (31, 17), (7, 5), (64, 64), (1, 3), (701, 530), (211, 200)]
FRAMINGS = [
    Framing(size, crop, zoom, interpolation)
    for size, crop, zoom, interpolation in itertools.product(
        (32, 64, 112), get_args(Crop), (1.0, 0.8, 0.35), ("bilinear", "bicubic")
    )
]


@pytest.mark.parametrize("framing", FRAMINGS, ids=str)
def test_it_is_the_framing_of_training_to_the_level(framing: Framing) -> None:
    random = np.random.default_rng(framing.image_size)
    module = GraphFraming(framing)
    for height, width in SIZES:
        image = random.integers(0, 256, (height, width, 3), dtype=np.uint8)  # noise: the hardest there is to resize
        ours = module(torch.from_numpy(image).permute(2, 0, 1)[None])[0]
        assert torch.equal(ours, frame_tensor(image, framing).float()), (height, width)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_it_is_torchvisions_crop_and_resize(interpolation: str) -> None:
    image = torch.randint(0, 256, (3, 150, 121), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    cropped = F.center_crop(image, [121, 121])
    theirs = F.resize(cropped, [48, 48], interpolation=F.InterpolationMode(interpolation), antialias=True)
    ours = GraphFraming(Framing(48, interpolation=interpolation))(image[None])[0]  # type: ignore[arg-type]
    assert (ours - theirs.float()).abs().max() <= 1


def test_a_picture_of_the_networks_size_passes_untouched() -> None:
    image = torch.randint(0, 256, (2, 3, 40, 40), dtype=torch.uint8)
    for interpolation in ("bilinear", "bicubic"):
        framing = Framing(40, interpolation=interpolation)  # type: ignore[arg-type]
        assert torch.equal(GraphFraming(framing)(image), image.float())
