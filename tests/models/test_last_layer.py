"""Features are what comes into the last linear layer, whatever the network: from them its logits are one product."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gender_lightning.data.framing import Framing
from gender_lightning.errors import UserError
from gender_lightning.models.backbones import create_backbone
from gender_lightning.models.checkpoints.checkpoint import ModelSpec, Network
from gender_lightning.models.heads import LogitHead
from gender_lightning.models.last_layer import Change, changed_state, features_and_logits, find_last_layer, linear_part

NETWORKS = {
    "timm/test_resnet": (32, "fc"),
    "timm/test_vit": (32, "head"),
    "mobilenet_v3_small": (32, "classifier.3"),
    "timm/test_convnext": (32, "head.fc"),
}


class Beside(nn.Module):
    """A layer without a constant, or with something nonlinear beside it (VOLO)."""

    def __init__(self, *, bias: bool = True, patches: bool = False) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 8, 8, 8)
        self.head = LogitHead(nn.Linear(8, 1, bias=bias))
        self.aux_head = LogitHead(nn.Linear(8, 1)) if patches else None

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.body(images).flatten(2).transpose(1, 2)
        logits: Tensor = self.head(tokens.mean(dim=1))
        return logits if self.aux_head is None else logits + 0.5 * self.aux_head(tokens).amax(dim=1)


class Squared(Beside):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) ** 2


def network_of(net: nn.Module, size: int = 32, *, flip: bool = True) -> Network:
    return Network(net, ModelSpec("mine", Framing(size), test_time_flip=flip, test_time_zooms=(1.0, 1.5))).eval()


def images(size: int = 32) -> Tensor:
    return torch.randint(0, 256, (6, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def check(network: Network, size: int = 32, *, linear: bool = True) -> None:
    """New weights give the logits that the features say; so do the old ones."""
    faces = images(size)
    layer = find_last_layer(network, faces)
    with torch.no_grad():
        features, logits = (part.double().numpy() for part in features_and_logits(network, layer, faces))
        assert np.allclose(logits, network(faces).numpy(), atol=1e-6)
        weight, bias = linear_part(network.net, layer)
        assert np.allclose(logits, features @ weight + bias, atol=1e-4) == linear
        generator = np.random.default_rng(0)
        added = generator.normal(size=features.shape[1]), float(layer.has_bias(network.net))
        before = {name: value.clone() for name, value in network.net.state_dict().items()}
        for scale in (0.0, 1.7):
            change = Change(scale, *added)
            state = changed_state(network.net, layer, change)
            assert all(torch.equal(value, before[name]) for name, value in network.net.state_dict().items())
            network.net.load_state_dict(state)
            assert np.allclose(network(faces).numpy(), change.logits(features, logits), rtol=1e-4, atol=1e-4)
            network.net.load_state_dict(before)


@pytest.mark.parametrize("name", NETWORKS)
def test_features_and_new_weights_of_usual_networks(name: str) -> None:
    size, path = NETWORKS[name]
    torch.manual_seed(0)
    network = network_of(create_backbone(name, image_size=size), size)
    assert find_last_layer(network, images(size)).paths == (path,)
    check(network, size)


@pytest.mark.slow
def test_vgg_like_classifiers_and_auxiliary_ones() -> None:
    for name, size, path in (("alexnet", 64, "classifier.6"), ("googlenet", 64, "fc")):
        network = network_of(create_backbone(name, image_size=size), size)
        assert find_last_layer(network, images(size)).paths == (path,)
        check(network, size)


def test_two_averaged_heads_count_half_each() -> None:
    torch.manual_seed(0)
    network = network_of(create_backbone("timm/deit_tiny_distilled_patch16_224", image_size=32))
    layer = find_last_layer(network, images())
    assert layer.paths == ("head", "head_dist")
    assert layer.factors == pytest.approx((0.5, 0.5), abs=1e-5)
    check(network)


def test_a_layer_without_a_constant_and_one_with_something_beside_it() -> None:
    torch.manual_seed(0)
    check(network_of(Beside(bias=False)))
    check(network_of(Beside(patches=True)), linear=False)


def test_a_logit_that_is_not_linear_is_refused() -> None:
    with pytest.raises(UserError, match="not a linear function"):
        find_last_layer(network_of(Squared()), images())


def test_part_of_the_way_is_between_the_decisions() -> None:
    change, old = Change(0.0, np.array([2.0, -1.0]), 0.5), np.array([3.0, -1.0])
    features = np.array([[1.0, 0.0], [0.5, 2.0]])
    there = change.logits(features, old)
    assert np.allclose(change.step(0.25, cut=1.0).logits(features, old), 0.75 * (old - 1) + 0.25 * there)
    assert np.allclose(change.step(1.0, cut=1.0).logits(features, old), there)
    assert np.allclose(Change.mean([change, Change(1.0, np.zeros(2), 0.0)]).logits(features, old), (there + old) / 2)
