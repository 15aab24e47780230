"""Parameters: torchvision's distributions, per image, whoever else is in the batch."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from gender_lightning.transforms import (
    AugmentationSettings,
    ColorJitter,
    Downscale,
    GaussianBlur,
    Jpeg,
    Parameters,
    ProgressiveStage,
    draw_parameters,
    step_key,
)

ALL = AugmentationSettings(
    random_rotation=15,
    random_horizontal_flip=0.5,
    color_jitter=ColorJitter(0.4, 0.3, 1.5, 0.1),
    random_erasing=0.25,
    random_scale=(0.8, 1.1),
    random_translation=0.1,
    random_aspect_ratio=(0.8, 1.25),
    gaussian_blur=GaussianBlur(0.5, (0.1, 1)),
    downscale=Downscale(0.5, 10),
    jpeg=Jpeg(0.5, (30, 95)),
    fill="mixed",
)
KEY = step_key(1, 0)


def _draw(settings: AugmentationSettings, n: int, size: int = 64) -> Parameters:
    return draw_parameters(settings, torch.arange(n), KEY, size, size)


def test_an_image_draws_the_same_whatever_its_batch() -> None:
    order = torch.randperm(50, generator=torch.Generator().manual_seed(0))
    whole = _draw(ALL, 50)
    halves = [draw_parameters(ALL, part, KEY, 64, 64) for part in order.chunk(2)]  # as two ranks would
    for field in fields(Parameters):
        parts = torch.cat([getattr(half, field.name) for half in halves])
        assert torch.equal(parts, getattr(whole, field.name)[order]), field.name


def test_ranges_and_means_are_the_documented_ones() -> None:
    p = _draw(ALL, 20000)
    expected = {
        "rotation": (-15, 15),
        "scale": (0.8, 1.1),
        "translation": (-0.1, 0.1),
        "brightness": (0.6, 1.4),
        "contrast": (0.7, 1.3),
        "saturation": (0.0, 2.5),  # torchvision cuts the range at 0
        "hue": (-0.1, 0.1),
    }
    for name, (low, high) in expected.items():
        values = getattr(p, name)
        assert low <= values.min() < low + 0.01 * (high - low), name
        assert high >= values.max() > high - 0.01 * (high - low), name
        assert values.mean().item() == pytest.approx((low + high) / 2, abs=0.01 * (high - low)), name
    assert p.flipped is not None
    assert p.flipped.float().mean().item() == pytest.approx(0.5, abs=0.015)
    assert p.erased is not None
    assert (p.erased[:, 2] > 0).float().mean().item() == pytest.approx(0.25, abs=0.015)


def test_what_is_off_is_none_and_leaves_the_rest_alone() -> None:
    assert all(getattr(_draw(AugmentationSettings(), 3), field.name) is None for field in fields(Parameters))
    alone, full = _draw(AugmentationSettings(random_rotation=15), 9), _draw(ALL, 9)
    assert alone.rotation is not None
    assert full.rotation is not None
    assert torch.equal(alone.rotation, full.rotation)


def test_erased_boxes_are_distributed_as_torchvisions() -> None:
    stats = pytest.importorskip("scipy.stats")
    boxes = _draw(AugmentationSettings(random_erasing=1.0), 4000).erased
    assert boxes is not None
    torch.manual_seed(0)
    theirs = v2.RandomErasing(p=1.0)
    drawn = [theirs.make_params([torch.empty(3, 64, 64)]) for _ in range(2000)]
    reference = np.array([[d["i"], d["j"], d["h"], d["w"]] for d in drawn])
    for column in range(4):
        assert stats.ks_2samp(boxes[:, column].numpy(), reference[:, column]).pvalue > 0.001
    assert (boxes[:, 0] + boxes[:, 2]).max() <= 64
    assert boxes.min() >= 0


def test_progressive_sizes() -> None:
    settings = AugmentationSettings(progressive=(ProgressiveStage(0.3, 64), ProgressiveStage(0.7, 96)))
    assert [settings.size_at(t) for t in (0.0, 0.29, 0.3, 0.69, 0.7, 1.0)] == [64, 64, 96, 96, None, None]
    # of 128 px: a quarter of the pixels for 0.3, nine sixteenths for 0.4, all for 0.3
    assert settings.pixels_from(0.0, 128) == pytest.approx(0.3 / 4 + 0.4 * 9 / 16 + 0.3)
    assert settings.pixels_from(0.5, 128) == pytest.approx((0.2 * 9 / 16 + 0.3) / 0.5)
    assert settings.pixels_from(0.8, 128) == settings.pixels_from(1.0, 128) == 1
    assert AugmentationSettings().pixels_from(0.5, 128) == 1
    assert not settings.mixes
