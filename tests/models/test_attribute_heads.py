"""Auxiliary heads learn from the network's features and leave the network as it is."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gender_lightning.models.attribute_heads import AttributeHeads
from gender_lightning.models.backbones import create_backbone, forward_train


@pytest.mark.parametrize("name", ["timm/test_resnet", "timm/test_vit", "googlenet"])
def test_the_network_stays_as_it_is(name: str) -> None:
    size = 64 if name == "googlenet" else 32
    torch.manual_seed(0)
    net = create_backbone(name, image_size=size)
    names = list(net.state_dict())
    images, targets = torch.rand(4, 3, size, size), torch.randint(2, (4, 5))
    heads = AttributeHeads(net, 5)
    logits, _ = forward_train(net, images)
    loss = heads(targets)
    assert logits.shape == (4,) and loss.ndim == 0 and list(net.state_dict()) == names
    loss.backward()
    moved = [parameter for parameter in net.parameters() if parameter.grad is not None and parameter.grad.any()]
    assert moved and heads.linear.weight.grad is not None, "the backbone learns from it"
    net.eval()
    assert net(images).shape == (4,)
    with pytest.raises(AssertionError):
        heads(targets)  # nothing is taken down outside of training


def test_the_loss_is_the_mean_of_that_of_each_attribute() -> None:
    net = create_backbone("timm/test_resnet", image_size=32, dropout=0.5)
    heads = AttributeHeads(net, 3)
    images, targets = torch.rand(4, 3, 32, 32), torch.rand(4, 3)
    net(images)
    assert heads._features is not None
    logits = heads.linear(heads._features)
    each = [F.binary_cross_entropy_with_logits(logits[:, i], targets[:, i]) for i in range(3)]
    torch.testing.assert_close(heads(targets), torch.stack(each).mean())
    groups = heads.parameter_groups(lr=0.1, weight_decay=0.5)
    assert [group["weight_decay"] for group in groups] == [0.5, 0.0]


def test_a_compiled_network_gives_its_features_too() -> None:
    torch.manual_seed(0)
    net: nn.Module = create_backbone("timm/test_resnet", image_size=32)
    heads = AttributeHeads(net, 3)
    images, targets = torch.rand(4, 3, 32, 32), torch.randint(2, (4, 3))
    net(images)
    expected = heads(targets)
    gradients = torch.autograd.grad(expected, list(net.parameters()), allow_unused=True)
    net.compile(backend="aot_eager")
    for _ in range(2):
        net(images)
        loss = heads(targets)
        torch.testing.assert_close(loss, expected)
        again = torch.autograd.grad(loss, list(net.parameters()), allow_unused=True)
        for parameter, one, other in zip(net.parameters(), gradients, again, strict=True):
            none = torch.zeros_like(parameter)  # compiled, a parameter that has no part in the loss has zeros
            torch.testing.assert_close(none if other is None else other, none if one is None else one)
