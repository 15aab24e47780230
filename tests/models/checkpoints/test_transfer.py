"""Weights as other people's trainers write them, loaded into the network they belong to."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from gender_lightning.data.framing import Framing
from gender_lightning.errors import UserError
from gender_lightning.models.backbones import create_backbone, normalisation
from gender_lightning.models.checkpoints.checkpoint import ModelSpec, read_checkpoint, save_weights
from gender_lightning.models.checkpoints.transfer import fitting_prefix, load_pretrained, read_weights

PREFIXES = (
    "", "net.", "module.", "_orig_mod.", "module._orig_mod.", "net._orig_mod.", "backbone.", "encoder.", "model.",
    "model.module.", "model.net.", "resnet.", "student.",
)  # fmt: skip


@pytest.fixture(scope="module")
def donor() -> dict[str, Tensor]:
    torch.manual_seed(3)
    state = create_backbone("timm/test_resnet", image_size=32).state_dict()
    return {name: torch.rand_like(value.float()) for name, value in state.items()}


def _loaded(path: Path, donor: dict[str, Tensor]) -> None:
    own = create_backbone("timm/test_resnet", image_size=32, pretrained=str(path)).state_dict()
    for name, value in donor.items():
        if not name.startswith("fc."):
            torch.testing.assert_close(own[name], value.to(own[name].dtype), rtol=0, atol=0)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_common_prefix_is_taken_off(prefix: str, donor: dict[str, Tensor], tmp_path: Path) -> None:
    named = {prefix + name: value for name, value in donor.items()}
    heads = {"classifier.0.weight": torch.ones(7, 3), "loss.weight": torch.ones(2), "n_averaged": torch.tensor(3)}
    torch.save({"state_dict": named | heads, "epoch": 3}, tmp_path / "w.pt")
    _loaded(tmp_path / "w.pt", donor)


def test_of_student_and_average_the_average_is_taken(donor: dict[str, Tensor]) -> None:
    names = [prefix + name for prefix in ("online.", "ema_model.") for name in donor]
    assert fitting_prefix(donor, names) == "ema_model."


@pytest.mark.parametrize("container", ["net", "model_state_dict", "weights", "ema", "state_dict_ema", "model"])
def test_a_container_is_looked_into(container: str, donor: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save({"state_dict": {}, container: donor, "optimizer": {"state": {0: torch.ones(1)}}}, tmp_path / "w.pt")
    _loaded(tmp_path / "w.pt", donor)


def test_safetensors_are_read(donor: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(donor, tmp_path / "w.safetensors")
    _loaded(tmp_path / "w.safetensors", donor)
    assert normalisation("googlenet", str(tmp_path / "w.safetensors"))[0] == (0.5, 0.5, 0.5)
    (tmp_path / "w.safetensors").write_bytes(b"none")
    with pytest.raises(UserError, match="damaged"):
        read_weights(tmp_path / "w.safetensors")
    with pytest.raises(UserError, match=r"^model\.pretrained: .*none\.safetensors does not exist"):
        read_weights(tmp_path / "none.safetensors")
    with pytest.raises(UserError, match=r"^model\.pretrained: .*nowhere does not exist"):
        normalisation("resnet18", str(tmp_path / "nowhere"))


def test_pickled_objects_are_refused_with_the_way_to_convert_them(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "w.pt")
    with pytest.raises(UserError, match=r"weights_only=False.*'weights\.pt'"):
        read_weights(tmp_path / "w.pt")


def test_attributes_called_net_and_module_are_no_prefixes(tmp_path: Path) -> None:
    inner = nn.ModuleDict({"net": nn.Linear(2, 1), "module": nn.Linear(2, 1), "fc": nn.Linear(2, 1)})
    state = inner.state_dict()
    assert fitting_prefix(state, state) == ""
    save_weights(tmp_path / "best.ckpt", state, ModelSpec("mine", Framing(32)))
    assert read_checkpoint(tmp_path / "best.ckpt")[1].keys() == state.keys()
    last = {"optimizer_states": [], "gender_lightning": ModelSpec("mine", Framing(32)).to_dict()}
    torch.save(last | {"state_dict": {"net." + n: v for n, v in state.items()}}, tmp_path / "last.ckpt")
    assert read_checkpoint(tmp_path / "last.ckpt")[1].keys() == state.keys()


@pytest.mark.parametrize(
    ("name", "resampled"),
    [
        ("timm/test_vit", "pos_embed"),
        ("vit_b_32", "encoder.pos_embedding"),
        ("timm/swin_tiny_patch4_window7_224", "layers.0.blocks.0.attn.relative_position_bias_table"),
    ],
)
def test_positions_of_another_size_are_resampled(name: str, resampled: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    shallow = {"depths": [1, 1, 1, 1]} if "swin" in name else {}
    small = create_backbone(name, image_size=64, arguments=shallow | ({"window_size": 4} if shallow else {}))
    large = create_backbone(name, image_size=128, arguments=shallow)
    state = {"module." + key: value for key, value in small.state_dict().items()}
    load_pretrained(large, state, source="a run")
    assert f"resampled: {resampled}" in caplog.text and "names after module." in caplog.text
    theirs = small.state_dict()
    same = [key for key, value in large.state_dict().items() if theirs[key].shape == value.shape]
    assert all(torch.equal(large.state_dict()[key], theirs[key]) for key in same)
    grid = large.state_dict()[resampled]
    assert grid.shape != theirs[resampled].shape
    if not shallow:
        torch.testing.assert_close(grid[:, 0], theirs[resampled][:, 0])  # the class token has no place to move


def test_torchvisions_googlenet_file_keeps_its_auxiliary_heads(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    theirs = torchvision.models.googlenet(init_weights=False, aux_logits=True).state_dict()
    net = create_backbone("googlenet", image_size=64)
    load_pretrained(net, theirs, source="googlenet.pth")
    assert torch.equal(net.state_dict()["aux1.conv.conv.weight"], theirs["aux1.conv.conv.weight"])
    assert "aux1.fc2.bias, aux1.fc2.weight, aux2.fc2.bias and 3 more" in caplog.text
    without = create_backbone("googlenet", image_size=64, arguments={"aux_logits": False})
    load_pretrained(without, theirs, source="googlenet.pth")


def test_grey_weights_make_a_colour_stem(donor: dict[str, Tensor]) -> None:
    net = create_backbone("timm/test_resnet", image_size=32)
    stem = next(name for name, value in donor.items() if value.ndim == 4)
    grey = torch.rand_like(donor[stem][:, :1])
    load_pretrained(net, donor | {stem: grey}, source="a file")
    torch.testing.assert_close(net.state_dict()[stem].sum(1, keepdim=True), grey)


def test_counters_may_lack_and_other_depths_are_refused() -> None:
    net = create_backbone("resnet18", image_size=32)
    old = {name: value for name, value in net.state_dict().items() if not name.endswith("num_batches_tracked")}
    load_pretrained(net, old, source="a file from 2017")
    deep = create_backbone("timm/test_vit", image_size=32, arguments={"depth": 8}).state_dict()
    with pytest.raises(UserError, match="missing, foreign or of another shape"):
        load_pretrained(create_backbone("timm/test_vit", image_size=32), deep, source="a file")


def test_a_file_means_the_statistics_of_the_name(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1)}, tmp_path / "w.pt")
    assert normalisation("googlenet", str(tmp_path / "w.pt"))[0] == (0.5, 0.5, 0.5)
    assert normalisation("timm/mixer_b16_224", str(tmp_path / "w.pt"))[0] == (0.5, 0.5, 0.5)
    clip = normalisation("timm/vit_base_patch32_clip_224", str(tmp_path / "w.pt"))[0]
    assert clip == pytest.approx((0.481, 0.458, 0.408), abs=1e-3)
