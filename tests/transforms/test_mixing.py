"""MixUp and CutMix as published, per image."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gender_lightning.transforms import AugmentationSettings, mix
from gender_lightning.transforms.mixing import cutmix_boxes, partners

N = 64
INDICES = torch.arange(N) * 3


def _numbered() -> tuple[Tensor, Tensor]:
    """Images that are all k in channel 0 and whose target is k mod 2."""
    numbers = torch.arange(N, dtype=torch.float32)
    return numbers[:, None, None, None].expand(N, 3, 16, 16).contiguous(), numbers % 2


def test_partners_are_another_image_and_each_is_used_once() -> None:
    chosen = partners(torch.rand(9, generator=torch.Generator().manual_seed(0)))
    assert sorted(chosen.tolist()) == list(range(9))
    assert (chosen != torch.arange(9)).all()
    assert partners(torch.zeros(4)).tolist() == [1, 2, 3, 0]  # ties do no harm


def test_mixup_mixes_images_and_targets_with_one_lambda() -> None:
    images, _ = _numbered()
    targets = torch.arange(N) / N  # a target that tells who it is, so both must be mixed alike
    mixed, soft = mix(images, targets, INDICES, AugmentationSettings(mixup=0.8), seed=1, step=2)
    assert (mixed - mixed[:, :1, :1, :1]).abs().max() < 1e-4  # a plain blend everywhere
    torch.testing.assert_close(mixed[:, 0, 0, 0] / N, soft)
    assert soft.dtype == torch.float32
    assert len(set(soft.tolist())) > N / 2


def test_cutmix_pastes_one_rectangle_and_corrects_lambda_to_its_area() -> None:
    images, _ = _numbered()
    targets = torch.arange(N) / N
    mixed, soft = mix(images, targets, INDICES, AugmentationSettings(cutmix=1.0), seed=1, step=2)
    torch.testing.assert_close(mixed[:, 0].mean((1, 2)) / N, soft)
    foreign = mixed[:, 0] != images[:, 0]
    assert all(len(set(mixed[i, 0][foreign[i]].tolist())) <= 1 for i in range(N))
    for mask in foreign[foreign.any(2).any(1)]:
        assert mask.sum() == mask.any(0).sum() * mask.any(1).sum()  # filled: a rectangle
    assert 0.15 < foreign.float().mean() < 0.45


def test_cutmix_boxes_are_the_papers() -> None:
    lam, x, y = torch.tensor([0.75, 0.0, 1.0]), torch.tensor([0.5, 0.0, 0.3]), torch.tensor([0.1, 0.5, 0.3])
    # rand_bbox by hand: side 100 * sqrt(1 - lam), halved, about (x, y), cut at the edges.
    expected = [[0, 25, 35, 50], [0, 0, 100, 50], [30, 30, 0, 0]]
    assert cutmix_boxes(lam, x, y, 100, 100).tolist() == expected


def test_both_share_the_batch_and_depend_on_the_key_alone() -> None:
    images, targets = _numbered()
    both = AugmentationSettings(mixup=0.8, cutmix=1.0)
    mixed, soft = mix(images, targets, INDICES, both, seed=1, step=2)
    cut = (mixed[:, 0] == images[:, 0]).any(2).any(1)
    assert 0.25 < cut.float().mean() < 0.75
    assert soft.min() >= 0
    assert soft.max() <= 1
    order = torch.randperm(N, generator=torch.Generator().manual_seed(1))
    again, soft_again = mix(images[order], targets[order], INDICES[order], both, seed=1, step=2)
    assert torch.equal(again, mixed[order])
    assert torch.equal(soft_again, soft[order])
    assert not torch.equal(mix(images, targets, INDICES, both, seed=1, step=3)[0], mixed)


@pytest.mark.parametrize("settings", [AugmentationSettings(mixup=0.8), AugmentationSettings(cutmix=1.0)])
def test_layout_is_kept_and_a_batch_of_one_is_left_alone(settings: AugmentationSettings) -> None:
    images, targets = _numbered()
    last = images.contiguous(memory_format=torch.channels_last)
    mixed, _ = mix(last, targets, INDICES, settings, seed=1, step=2)
    assert mixed.is_contiguous(memory_format=torch.channels_last)
    single, soft = mix(images[:1], targets[:1], INDICES[:1], settings, seed=1, step=2)
    assert torch.equal(single, images[:1])
    assert torch.equal(soft, targets[:1])


def test_off_is_off() -> None:
    images, targets = _numbered()
    mixed, soft = mix(images, targets, INDICES, AugmentationSettings(), seed=1, step=2)
    assert mixed is images
    assert torch.equal(soft, targets)
