"""The whole pass: composition, independence of the batch, layout, normalisation."""

from __future__ import annotations

import pytest
import torch
import torchvision.transforms.v2.functional as F
from torch import Tensor

from gender_lightning.transforms import (
    Augment,
    AugmentationSettings,
    ColorJitter,
    Downscale,
    GaussianBlur,
    Jpeg,
    Normalize,
    Parameters,
    describe_batch_image,
    mix,
)
from gender_lightning.transforms.augment import augment
from gender_lightning.transforms.erasing import box_mask, erase_

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
ALL = AugmentationSettings(
    random_rotation=15,
    random_horizontal_flip=0.5,
    color_jitter=ColorJitter(0.3, 0.3, 0.3, 0.1),
    random_erasing=0.5,
    random_scale=(0.9, 1.1),
    random_translation=0.1,
    random_grayscale=0.3,
    random_aspect_ratio=(0.8, 1.25),
    gaussian_blur=GaussianBlur(0.5, (0.1, 1)),
    downscale=Downscale(0.5, 10),
    jpeg=Jpeg(0.5, (30, 95)),
    fill="mixed",
)


@pytest.fixture
def faces() -> Tensor:
    return torch.randint(0, 256, (12, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def test_nothing_on_is_torchvisions_normalize(faces: Tensor) -> None:
    ours = Augment(AugmentationSettings(), MEAN, STD)(faces, torch.arange(12), 0)
    torch.testing.assert_close(ours, F.normalize(faces / 255, MEAN, STD), atol=1e-5, rtol=0)
    normalize = Normalize(MEAN, STD)
    torch.testing.assert_close(normalize(faces), ours)
    torch.testing.assert_close(normalize(faces / 255), ours, atol=1e-5, rtol=0)
    assert not normalize.state_dict()


def test_parts_follow_each_other_as_in_torchvision() -> None:
    smooth = F.gaussian_blur(torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(2)), [5, 5])
    angle, brightness, hue = torch.tensor([10.0]), torch.tensor([0.9]), torch.tensor([0.05])
    ours = augment(smooth * 255, Parameters(rotation=angle, brightness=brightness, hue=hue), "zeros")
    theirs = F.adjust_hue(F.adjust_brightness(F.rotate(smooth, 10.0, F.InterpolationMode.BILINEAR), 0.9), 0.05)
    assert (ours - theirs * 255).abs().max() < 0.1


def test_an_image_comes_out_the_same_whatever_its_batch(faces: Tensor) -> None:
    module, indices = Augment(ALL, seed=3), torch.arange(100, 112)
    whole = module(faces, indices, 7)
    order = torch.tensor([11, 3, 5])
    torch.testing.assert_close(module(faces[order], indices[order], 7), whole[order], atol=1e-5, rtol=0)
    assert not torch.equal(module(faces, indices, 8), whole)
    assert not torch.equal(Augment(ALL, seed=4)(faces, indices, 7), whole)


def test_pieces_of_a_cpu_batch_do_not_show(faces: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Augment(ALL)(faces, torch.arange(12), 0)
    monkeypatch.setattr(Augment.__module__ + "._PIXELS_PER_PIECE", 5 * 32 * 32)
    torch.testing.assert_close(Augment(ALL)(faces, torch.arange(12), 0), whole, atol=1e-5, rtol=0)


def test_layout_dtype_and_untouched_input(faces: Tensor) -> None:
    before = faces.clone()
    plain = Augment(ALL)(faces, torch.arange(12), 0)
    last = Augment(ALL, channels_last=True)(faces, torch.arange(12), 0)
    assert plain.is_contiguous()
    assert last.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(plain, last)
    assert plain.dtype == torch.float32
    assert torch.equal(faces, before)


def test_autocast_does_not_lower_its_precision(faces: Tensor) -> None:
    module = Augment(ALL)
    with torch.autocast("cpu", torch.bfloat16):
        inside = module(faces, torch.arange(12), 0)
    assert torch.equal(inside, module(faces, torch.arange(12), 0))


def test_progressive_size_is_an_antialiased_resize_first(faces: Tensor) -> None:
    ours = Augment(AugmentationSettings(), MEAN, STD)(faces, torch.arange(12), 0, size=20)
    theirs = F.normalize(F.resize(faces, [20, 20], antialias=True) / 255, MEAN, STD)
    assert ours.shape == (12, 3, 20, 20)
    assert (ours - theirs).abs().max() <= 1 / 255 / min(STD) + 1e-5


def test_erasing_is_torchvisions(faces: Tensor) -> None:
    images = faces.float()
    boxes = torch.tensor([[3, 4, 10, 7], [0, 0, 0, 0], [20, 1, 12, 30]])
    ours = erase_(images[:3].clone(), boxes)
    for image, expected, (i, j, h, w) in zip(ours, images, boxes.tolist(), strict=False):
        assert torch.equal(image, F.erase(expected, i, j, h, w, torch.zeros(3, h, w)))
    by_mask = images[:3] * ~box_mask(boxes, *images.shape[-2:])  # as on a GPU
    assert torch.equal(ours, by_mask)


def test_erased_part_is_the_mean_colour(faces: Tensor) -> None:
    module = Augment(AugmentationSettings(random_erasing=1.0), MEAN, STD)
    share = (module(faces, torch.arange(12), 0) == 0).all(1).float().mean((1, 2))
    assert share.min() > 0.01
    assert share.max() < 0.4


def test_picture_of_a_batch(faces: Tensor) -> None:
    images = Normalize(MEAN, STD)(faces)
    picture = describe_batch_image(images, torch.tensor([0.0, 1.0, 0.3] * 4), MEAN, STD, columns=5)
    assert picture.shape == (3 * 96, 5 * 96, 3)
    assert picture.dtype.name == "uint8"
    assert (picture[48:96:3, 1:96:3] == faces[0].permute(1, 2, 0).numpy()[16:]).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_agrees_and_never_waits(faces: Tensor) -> None:
    module, settings = Augment(ALL), AugmentationSettings(mixup=0.8, cutmix=1.0)
    indices, targets = torch.arange(12), torch.arange(12) % 2
    theirs, soft = mix(module(faces, indices, 5), targets, indices, settings, seed=1, step=5)
    module, inputs = module.cuda(), (faces.cuda(), indices.cuda(), targets.cuda())
    torch.cuda.set_sync_debug_mode("error")
    try:
        ours, ours_soft = mix(module(*inputs[:2], 5), inputs[2], inputs[1], settings, seed=1, step=5)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(ours.cpu(), theirs, atol=2e-3, rtol=0)
    torch.testing.assert_close(ours_soft.cpu(), soft, atol=1e-5, rtol=0)
