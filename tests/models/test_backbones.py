from __future__ import annotations

import urllib.error
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from gender_lightning.errors import UserError
from gender_lightning.models.backbones import create_backbone, fixed_image_size, forward_train, normalisation

# every model of conf/model (timm's by a small one of its kind), and some of each other family
MODELS = ["resnet18", "resnet50", "googlenet", "efficientnet_b0", "efficientnet_v2_s", "vit_b_16", "convnext_tiny"]
OTHERS = ["swin_t", "densenet121", "mobilenet_v3_small", "regnet_y_400mf", "shufflenet_v2_x0_5", "vgg11_bn"]
TIMM = ["timm/test_vit", "timm/test_convnext", "timm/test_efficientnet", "timm/levit_128s"]


@pytest.mark.parametrize("name", [*MODELS, *TIMM, pytest.param("vgg19", marks=pytest.mark.slow), *OTHERS])
def test_images_in_one_logit_out_and_a_gradient_everywhere(name: str) -> None:
    net = create_backbone(name, image_size=64)
    images = torch.rand(2, 3, 64, 64)
    logits, auxiliary = forward_train(net, images)
    assert logits.shape == (2,)
    (logits.sum() + sum(other.sum() for _, other in auxiliary)).backward()
    assert all(parameter.grad is not None for parameter in net.parameters())
    assert net.eval()(images).shape == (2,)


def test_vgg_works_on_small_images_by_its_adaptive_pool() -> None:
    assert create_backbone("vgg11", image_size=48).eval()(torch.rand(1, 3, 48, 48)).shape == (1,)


@pytest.mark.parametrize(("name", "count", "size"), [("googlenet", 2, 64), ("inception_v3", 1, 299)])
def test_auxiliary_logits_come_in_training_only(name: str, count: int, size: int) -> None:
    net = create_backbone(name, image_size=size)
    images = torch.rand(2, 3, size, size)
    assert net(images).shape == (2,)
    auxiliary = forward_train(net, images)[1]
    assert [(weight, logits.shape) for weight, logits in auxiliary] == [(0.3, (2,))] * count
    assert forward_train(net.eval(), images)[1] == []


def test_googlenet_with_our_normalisation_is_torchvisions_with_transform_input() -> None:
    theirs = torchvision.models.googlenet(num_classes=1, transform_input=True, aux_logits=True, init_weights=False)
    ours = create_backbone("googlenet", image_size=64)
    ours.load_state_dict(theirs.state_dict())
    pixels = torch.rand(2, 3, 64, 64)

    def normalised(pretrained: bool) -> torch.Tensor:
        mean, std = normalisation("googlenet", pretrained)
        return torchvision.transforms.functional.normalize(pixels, list(mean), list(std))

    expected = theirs.eval()(normalised(False))[:, 0]
    torch.testing.assert_close(ours.eval()(normalised(True)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["vit_b_32", "timm/test_vit"])
def test_a_transformer_takes_any_multiple_of_its_patch(name: str) -> None:
    net = create_backbone(name, image_size=96)
    assert net.eval()(torch.rand(1, 3, 96, 96)).shape == (1,)


@pytest.mark.parametrize("name", ["vit_b_16", "timm/test_vit"])
def test_a_size_that_the_patches_do_not_fill_names_the_nearest(name: str) -> None:
    with pytest.raises(UserError, match=r"data.image_size=96 or 112"):
        create_backbone(name, image_size=100)


def test_the_one_size_of_a_network_is_known() -> None:
    assert fixed_image_size(create_backbone("vit_b_32", image_size=96)) == 96
    assert fixed_image_size(create_backbone("timm/deit_tiny_patch16_224", image_size=64)) == 64
    assert fixed_image_size(create_backbone("resnet18")) is None


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("resnet51", "resnet50"),
        ("timm/resnett18", "timm/resnet18"),
        ("quite-something-else", "torchvision name"),
        ("squeezenet1_0", "Choose another model.name"),
        ("timm/dla34", "Choose another model.name"),
        ("timm/resnet18.nothing", "after the dot"),
    ],
)
def test_a_name_that_does_not_work_is_explained(name: str, hint: str) -> None:
    with pytest.raises(UserError, match=hint):
        create_backbone(name)


@pytest.mark.parametrize("name", ["resnet18", "timm/resnet18"])
def test_an_unknown_argument_is_explained(name: str) -> None:
    with pytest.raises(UserError, match=r"model\.arguments"):
        create_backbone(name, arguments={"colour": 1})


def test_dropout_takes_the_place_of_the_networks_own() -> None:
    own = create_backbone("efficientnet_b0")
    set_by_user = create_backbone("efficientnet_b0", dropout=0.7)
    added = create_backbone("resnet18", dropout=0.7)
    assert [m.p for m in own.modules() if isinstance(m, nn.Dropout)] == [0.2]
    assert [m.p for m in set_by_user.modules() if isinstance(m, nn.Dropout)] == [0.7]
    features = torch.ones(1000, 512)
    assert added.fc(features).std() > 0
    assert added.eval().fc(features).std() < 1e-6


def test_weights_of_ours_load_into_the_librarys_network() -> None:
    ours = create_backbone("resnet18")
    theirs = torchvision.models.resnet18(num_classes=1)
    theirs.load_state_dict(ours.state_dict())
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(ours.eval()(images), theirs.eval()(images)[:, 0])


# ---- pretrained weights


def test_cached_weights_are_used_but_for_their_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    donor = torchvision.models.resnet18().state_dict()
    file = tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    file.parent.mkdir(parents=True)
    torch.save(donor, file)
    net = create_backbone("resnet18", pretrained=True)
    assert torch.equal(net.state_dict()["layer3.0.conv1.weight"], donor["layer3.0.conv1.weight"])
    assert net.state_dict()["fc.weight"].shape == (1, 512)


def test_unreachable_weights_name_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", refuse)
    monkeypatch.setattr("torch.hub.urlopen", refuse)
    with pytest.raises(UserError, match=r"resnet18 could not be fetched .*not known.*model.pretrained=false"):
        create_backbone("resnet18", pretrained=True)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(UserError, match=r"timm/test_vit could not be fetched .*model.pretrained=false"):
        create_backbone("timm/test_vit", pretrained=True, image_size=96)


def test_a_network_that_has_no_weights_says_so() -> None:
    with pytest.raises(UserError, match="no pretrained weights for timm/test_mambaout"):
        create_backbone("timm/test_mambaout", pretrained=True)


def test_positions_of_pretrained_weights_are_interpolated(tmp_path: Path) -> None:
    theirs = torchvision.models.vit_b_32(image_size=224)
    file = tmp_path / "vit.pth"
    torch.save(theirs.state_dict(), file)
    same = create_backbone("vit_b_32", image_size=224, pretrained=str(file))
    other = create_backbone("vit_b_32", image_size=96, pretrained=str(file))
    assert torch.equal(same.encoder.pos_embedding, theirs.encoder.pos_embedding)
    assert other.encoder.pos_embedding.shape == (1, 10, 768)
    grid = theirs.encoder.pos_embedding[:, 1:].reshape(7, 7, 768)
    # corners of an interpolation with aligned corners are the corners themselves
    assert torch.allclose(other.encoder.pos_embedding[0, 1], grid[0, 0], atol=1e-6)
    assert torch.allclose(other.encoder.pos_embedding[0, -1], grid[-1, -1], atol=1e-6)


def test_weights_from_a_file(tmp_path: Path) -> None:
    donor = create_backbone("resnet18")
    for name, content in {
        "bare": donor.state_dict(),
        "lightning": {"state_dict": {f"net.{key}": value for key, value in donor.state_dict().items()}, "epoch": 3},
    }.items():
        torch.save(content, tmp_path / name)
        net = create_backbone("resnet18", pretrained=str(tmp_path / name))
        assert torch.equal(net.fc.weight, donor.fc.weight)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save(create_backbone("resnet18").state_dict(), tmp_path / "weights")
    with pytest.raises(UserError, match=r"does not hold weights of this model: \d+ entries"):
        create_backbone("resnet50", pretrained=str(tmp_path / "weights"))
    with pytest.raises(UserError, match="does not exist"):
        create_backbone("resnet18", pretrained=str(tmp_path / "nowhere"))


def test_normalisation_belongs_to_the_weights() -> None:
    imagenet = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert normalisation("resnet50", True) == imagenet
    assert normalisation("vit_b_16", False) == imagenet
    assert normalisation("timm/vit_tiny_patch16_224", True) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
