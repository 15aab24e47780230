"""Pooling with a repeatable gradient, beside torch's own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from gender_lightning.models.backbones import create_backbone, forward_train
from gender_lightning.models.pooling import RepeatablePool2d, make_repeatable


@pytest.mark.parametrize("size", [(7, 7), (14, 21), (3, 5), (8, 13), (1, 2), (9, 4)])
@pytest.mark.parametrize("output", [7, (4, 4), (3, None)])
def test_it_pools_as_torch_does(size: tuple[int, int], output: Any) -> None:
    images = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    weights = torch.randn_like(F.adaptive_avg_pool2d(images, output))
    ours, theirs = RepeatablePool2d(output)(images), F.adaptive_avg_pool2d(images, output)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-14)
    gradients = [torch.autograd.grad((pooled * weights).sum(), images)[0] for pooled in (ours, theirs)]
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-14)


class Called(TorchDispatchMode):
    """The names of all kernels."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", ["alexnet", "googlenet", "vgg11", "timm/vgg11"])
def test_no_network_is_left_with_a_gradient_that_is_refused(name: str) -> None:
    with torch.device("meta"):
        net = create_backbone(name, image_size=80).train()
    assert kernels(net) >= {"_adaptive_avg_pool2d_backward"}, "otherwise there is nothing to replace"
    names = list(net.state_dict())
    make_repeatable(net)
    assert "_adaptive_avg_pool2d_backward" not in kernels(net)
    assert list(net.state_dict()) == names


def kernels(net: nn.Module) -> set[str]:
    images = torch.empty(4, 3, 80, 80, device="meta")
    with Called() as called:
        logits, auxiliary = forward_train(net, images)
        (logits.sum() + sum(other.sum() for _, other in auxiliary)).backward()
    return called.names
