from __future__ import annotations

import pytest
import torch
from torch import nn

from gender_lightning.models.backbones import create_backbone
from gender_lightning.models.groups import layer_depths, parameter_groups
from gender_lightning.models.heads import backbone_parameters, frozen_at, head_parameters, set_frozen

NAMES = ["resnet18", "googlenet", "efficientnet_b0", "convnext_tiny", "vit_b_32", "timm/test_vit", "swin_t"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("layer_decay", [1.0, 0.7])
def test_each_parameter_is_in_exactly_one_group(name: str, layer_decay: float) -> None:
    net = create_backbone(name, image_size=64)
    groups = parameter_groups(net, lr=0.1, weight_decay=0.05, layer_decay=layer_decay)
    listed = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(listed) == sorted(id(parameter) for parameter in net.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_norms_biases_and_positions_do_not_decay(name: str) -> None:
    net = create_backbone(name, image_size=64)
    groups = parameter_groups(net, lr=0.1, weight_decay=0.05)
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    for path, module in net.named_modules():
        kind = type(module).__name__
        for parameter_name, parameter in module.named_parameters(recurse=False):
            is_weight = (
                isinstance(module, nn.Linear | nn.Conv2d | nn.MultiheadAttention) and "bias" not in parameter_name
            )
            assert decay[id(parameter)] == (0.05 if is_weight else 0.0), (path, kind, parameter_name)


def test_rates_fall_by_one_factor_per_block() -> None:
    net = create_backbone("resnet18")
    groups = parameter_groups(net, lr=0.1, weight_decay=0.05, layer_decay=0.5)
    rate = {id(p): group["lr"] for group in groups for p in group["params"]}
    # by hand: stem, 2 blocks in each of 4 stages, head: 10 units
    assert rate[id(net.fc.weight)] == rate[id(net.fc.bias)] == 0.1
    assert rate[id(net.layer4[1].conv2.weight)] == rate[id(net.layer4[1].bn1.bias)] == 0.1 * 0.5
    assert rate[id(net.layer4[0].downsample[0].weight)] == 0.1 * 0.5**2
    assert rate[id(net.layer1[0].conv1.weight)] == 0.1 * 0.5**8
    assert rate[id(net.conv1.weight)] == rate[id(net.bn1.weight)] == 0.1 * 0.5**9


def test_a_transformer_has_the_depths_of_beit() -> None:
    net = create_backbone("vit_b_32", image_size=64)
    depths = layer_depths(net)
    assert depths["conv_proj.weight"] == depths["class_token"] == depths["encoder.pos_embedding"] == 0
    assert depths["encoder.layers.encoder_layer_0.mlp.0.weight"] == 1
    assert depths["encoder.layers.encoder_layer_11.mlp.0.weight"] == depths["encoder.ln.weight"] == 12
    assert depths["heads.head.weight"] == 13


@pytest.mark.parametrize(("name", "units"), [("resnet50", 18), ("efficientnet_v2_s", 43), ("googlenet", 13)])
def test_a_unit_is_a_block(name: str, units: int) -> None:
    assert max(layer_depths(create_backbone(name, image_size=64)).values()) + 1 == units


def test_what_epochs_are_frozen_depends_on_the_epoch_alone() -> None:
    assert [frozen_at("none", e) for e in range(3)] == [False] * 3
    assert [frozen_at("backbone", e) for e in range(3)] == [True] * 3
    assert [frozen_at(2, e) for e in range(4)] == [True, True, False, False]


def test_a_frozen_backbone_keeps_weights_and_statistics() -> None:
    net = create_backbone("googlenet", image_size=64)
    set_frozen(net, True)
    assert not any(p.requires_grad for p in backbone_parameters(net))
    assert all(p.requires_grad for p in head_parameters(net))
    before = {
        name: value.clone() for name, value in net.state_dict().items() if "running" in name and "aux" not in name
    }
    net(torch.rand(2, 3, 64, 64)).sum().backward()
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in before.items())
    set_frozen(net, False)
    net(torch.rand(2, 3, 64, 64))
    assert not any(torch.equal(value, net.state_dict()[name]) for name, value in before.items())
    assert all(p.requires_grad for p in net.parameters())


def test_thawing_in_evaluation_mode_leaves_that_mode() -> None:
    net = create_backbone("resnet18").eval()
    set_frozen(net, False)
    assert not any(module.training for module in net.modules())
