"""Sizes and batches that networks cannot take, found on the meta device; the CPU's own pass is the oracle."""

from __future__ import annotations

import re

import pytest
import torch

from gender_lightning.errors import UserError
from gender_lightning.models.backbones import create_backbone, forward_train
from gender_lightning.models.probe import check_network


@pytest.mark.parametrize(
    ("name", "size", "sizes"),
    [
        ("vgg11", 16, [32]),
        ("vit_b_16", 100, [96, 112]),
        pytest.param("timm/coatnet_pico_rw_224", 250, [224, 256], marks=pytest.mark.slow),
        ("timm/levit_128s", 250, [240, 256]),
        ("timm/tresnet_m", 50, [48, 52]),
        pytest.param("inception_v3", 48, [299], marks=pytest.mark.slow),
        pytest.param("maxvit_t", 64, [224], marks=pytest.mark.slow),
        pytest.param("timm/crossvit_9_240", 250, [240, 480], marks=pytest.mark.slow),
        pytest.param("timm/halonet26t", 48, [256], marks=pytest.mark.slow),
        pytest.param("timm/mvitv2_tiny", 250, [224, 256], marks=pytest.mark.slow),  # a lookup without bounds on meta
    ],
)
def test_the_nearest_sizes_that_work_are_named(name: str, size: int, sizes: list[int]) -> None:
    with pytest.raises(UserError) as refusal:
        check_network(name, size)
    assert refusal.value.field == "data.image_size"
    assert [int(number) for number in re.findall(r"\d+", refusal.value.remedy)] == sizes


@pytest.mark.parametrize(("name", "size"), [("vgg11", 32), ("timm/test_vit", 48), ("timm/volo_d1_224", 64)])
def test_a_size_that_works_passes_as_on_the_cpu(name: str, size: int) -> None:
    check_network(name, size)
    net = create_backbone(name, image_size=size).train()
    with torch.no_grad():
        assert forward_train(net, torch.rand(2, 3, size, size))[0].shape == (2,)


def test_a_batch_of_one_needs_a_map_of_more_than_a_pixel_or_a_frozen_backbone() -> None:
    net = create_backbone("resnet18").train()
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        net(torch.rand(1, 3, 32, 32))
    with pytest.raises(UserError, match=r"data\.batch_size=2") as refusal:
        check_network("resnet18", 32, batch_size=1)
    assert refusal.value.field == "data.batch_size"
    check_network("resnet18", 32, batch_size=1, frozen=True)
    check_network("resnet18", 64, batch_size=1)
    check_network("timm/test_vit", 32, batch_size=1)


def test_nothing_but_pictures_in_colour_goes_in() -> None:
    with pytest.raises(UserError, match="three channels"):
        check_network("timm/test_resnet", 32, arguments={"in_chans": 1})
    with pytest.raises(UserError, match=r"There is no model named timm/nonesuch\..*packages=\[ITS_PACKAGE\]"):
        check_network("timm/nonesuch", 32)
    with pytest.raises(UserError, match=r"There is no model named resnet19\. Did you mean resnet1.*\?$"):
        check_network("resnet19", 32)


def test_a_probe_draws_no_random_numbers() -> None:
    before = torch.get_rng_state()
    check_network("timm/test_resnet", 32)
    assert torch.equal(before, torch.get_rng_state())
