"""Costs against the figures that torchvision publishes with its weights."""

from __future__ import annotations

import pytest
import torch
import torchvision

from gender_lightning.comparison.costs import cost_of, count_macs, count_parameters
from gender_lightning.data.framing import Framing
from gender_lightning.models.backbones import create_backbone
from gender_lightning.models.checkpoints.checkpoint import ModelSpec, Network
from gender_lightning.reports.comparison_figures import pareto_front

# Of the 1,000-class head that ours is smaller by: features in.
FEATURES = {"resnet50": 2048, "resnet18": 512, "googlenet": 1024, "vgg19": 4096, "vit_b_16": 768, "convnext_tiny": 768}


@pytest.mark.parametrize("name", FEATURES)
def test_multiply_adds_and_parameters_are_the_published_ones(name: str) -> None:
    published = torchvision.models.get_model_weights(name).DEFAULT.meta
    with torch.device("meta"):
        net = create_backbone(name, image_size=224)
    head = 999 * FEATURES[name]
    assert count_parameters(net) == published["num_params"] - head - 999
    macs = count_macs(net, torch.empty(1, 3, 224, 224, device="meta")) + head
    assert macs / 1e9 == pytest.approx(published["_ops"], abs=0.002)


def test_the_resnet50_of_the_papers() -> None:
    with torch.device("meta"):
        net = create_backbone("resnet50", image_size=224)
    assert count_macs(net, torch.empty(1, 3, 224, 224, device="meta")) / 1e9 == pytest.approx(4.09, abs=0.01)
    assert count_parameters(net) / 1e6 + 2.05 == pytest.approx(25.6, abs=0.05)


def test_a_mirror_image_is_a_second_pass_and_the_network_stays_as_it_is() -> None:
    net = create_backbone("timm/test_resnet", image_size=32)
    one, two = (cost_of(Network(net, ModelSpec("x", Framing(32), test_time_flip=flip))) for flip in (False, True))
    assert (one.passes, two.passes) == (1, 2) and two.gmacs == pytest.approx(2 * one.gmacs)
    assert one.parameters == two.parameters == sum(value.numel() for value in net.parameters())
    assert all(value.device.type == "cpu" for value in net.parameters())


def test_every_zoom_is_a_pass_and_resizing_counts() -> None:
    net = create_backbone("timm/test_resnet", image_size=32)
    spec = ModelSpec("x", Framing(32), test_time_flip=True, test_time_zooms=(1.0, 1.4, 2.0))
    one, six = cost_of(Network(net, ModelSpec("x", Framing(32)))), cost_of(Network(net, spec))
    resizing = 2 * 2 * 3 * 32**3 / 1e9  # two views, two products with a matrix each, three channels
    assert six.passes == 6 and six.gmacs == pytest.approx(6 * one.gmacs + resizing)


def test_nobody_on_the_front_is_beaten_in_both() -> None:
    costs, accuracies = [1.0, 2.0, 2.0, 3.0, 4.0, 0.5], [0.90, 0.95, 0.94, 0.93, 0.96, 0.80]
    assert pareto_front(costs, accuracies) == [5, 0, 1, 4]
    assert pareto_front([1.0, 1.0], [0.9, 0.9]) == [0]
