"""Grad-CAM against the formula by hand, and on every backbone of the menu."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from torch import Tensor, nn

from gender_lightning.data.framing import Framing
from gender_lightning.diagnostics.saliency import find_layer, heat_maps, mean_maps
from gender_lightning.models.backbones import create_backbone, head_parameters
from gender_lightning.models.checkpoints.checkpoint import ModelSpec, Network

MENU = [path for path in sorted((Path(__file__).parents[2] / "conf" / "model").glob("*.yaml")) if path.stem != "_base"]
# the least that each takes; ViT's patches are of 16 px
SIDES = {"vit_b_16": 64, "googlenet": 64, "vgg19": 64}


def _network(net: nn.Module, size: int, backbone: str = "resnet18") -> Network:
    return Network(net, ModelSpec(backbone=backbone, framing=Framing(size))).eval()


class _Corner(nn.Module):
    """Logit: how much brighter the upper left quarter is than its weight in the bias."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)
        self.pool = nn.AvgPool2d(4)
        with torch.no_grad():
            self.conv.weight[:] = torch.tensor([[1.0, 1.0, 1.0], [-0.5, 0.2, 0.1]])[:, :, None, None]
            self.conv.bias.zero_()

    def forward(self, images: Tensor) -> Tensor:
        cells = self.pool(F.relu(self.conv(images)))
        half = cells.shape[-1] // 2
        return cells[:, 0, :half, :half].mean((1, 2)) - 0.5 * cells[:, 1].mean((1, 2))


@pytest.fixture
def images() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, 3, 32, 32), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("male", [True, False])
def test_a_map_is_grad_cams_formula(images: Tensor, male: bool) -> None:
    network = _network(_Corner(), 32)
    layer = find_layer(network, images)
    assert (layer.path, layer.side) == ("pool", 8)
    maps = heat_maps(network, images, torch.full((3,), male))
    cells = network.net.pool(F.relu(network.net.conv(network.normalize(images)))).detach()
    # gradients: 1 / 16 in the corner's 16 of 64 cells, -0.5 / 64 in all; their means weigh the channels
    sign = 1 if male else -1
    weights = sign * torch.tensor([1 / 64, -0.5 / 64])
    expected = (weights[:, None, None] * cells).sum(1).clamp_min(0)
    expected -= expected.amin((1, 2), keepdim=True)
    expected /= expected.amax((1, 2), keepdim=True) + 1e-7
    enlarged = F.interpolate(expected[:, None], (32, 32), mode="bilinear")[:, 0]
    enlarged -= enlarged.amin((1, 2), keepdim=True)
    enlarged /= enlarged.amax((1, 2), keepdim=True) + 1e-7
    assert np.allclose(maps, enlarged.numpy(), atol=1e-3)


HEAVY = ("vgg19", "vit_b_16", "efficientnet_v2_s")  # seconds to build


@pytest.mark.parametrize(
    "path", [pytest.param(path, id=path.stem, marks=pytest.mark.slow if path.stem in HEAVY else ()) for path in MENU]
)
def test_every_backbone_of_the_menu_has_maps(path: Path) -> None:
    name = yaml.safe_load(path.read_text())["name"]
    name = "timm/test_vit" if path.stem == "timm" else name
    size = SIDES.get(name, 160 if name == "timm/test_vit" else 32)
    torch.manual_seed(0)
    network = _network(create_backbone(name, image_size=size), size, name)
    for parameter in head_parameters(network.net):  # torchvision's ViT begins with zeros: nothing would matter
        nn.init.normal_(parameter, std=0.1)
    images = torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8)
    layer = find_layer(network, images)
    maps = heat_maps(network, images, torch.tensor([True, False]))
    assert layer.side >= 2
    assert maps.shape == (2, size, size) and maps.dtype == np.float32
    assert maps.min() >= 0 and maps.max() <= 1 and maps.max(axis=(1, 2)).any()
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize(
    ("name", "size", "side"), [("resnet18", 224, 7), ("resnet18", 64, 4), ("timm/test_vit", 160, 10)]
)
def test_the_last_layer_that_is_fine_enough_is_taken(name: str, size: int, side: int) -> None:
    network = _network(create_backbone(name, image_size=size), size, name)
    layer = find_layer(network, torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8))
    assert layer.side == side
    assert layer.method == ("LayerCAM" if size == 64 else "Grad-CAM")
    assert layer.path == {224: "layer4", 64: "layer3"}.get(size, layer.path)


def test_a_network_without_a_pictures_layout_says_so(images: Tensor) -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 1), nn.Flatten(0))
    with pytest.raises(ValueError, match="no layer with a picture's layout"):
        heat_maps(_network(flat, 32), images, torch.ones(3, dtype=torch.bool))


def test_the_mean_is_over_the_images_of_a_class(images: Tensor) -> None:
    network = _network(_Corner(), 32)
    labels = torch.tensor([1, 0, 1])
    means = mean_maps(network, [(images[:2], labels[:2]), (images[2:], labels[2:])])
    single = heat_maps(network, images, labels == 1)
    assert np.allclose(means["male"], (single[0] + single[2]) / 2, atol=1e-6)
    assert np.allclose(means["female"], single[1], atol=1e-6)
    assert set(mean_maps(network, [(images, torch.ones(3))])) == {"male"}
