"""Weights as other people's trainers write them, laid into the network they belong to."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from gender_lightning.data.framing import Framing
from gender_lightning.errors import UserError
from gender_lightning.models.backbones import create_backbone, normalisation
from gender_lightning.models.checkpoint import ModelSpec, read_checkpoint, save_weights
from gender_lightning.models.weights import fitting_names, load_pretrained, read_weights

PREFIXES = (
    "", "net.", "module.", "_orig_mod.", "module._orig_mod.", "net._orig_mod.", "backbone.", "encoder.", "model.",
    "model.module.", "resnet.", "student.",
)  # fmt: skip


@pytest.fixture(scope="module")
def donor() -> dict[str, Tensor]:
    torch.manual_seed(3)
    state = create_backbone("timm/test_resnet", image_size=32).state_dict()
    return {name: torch.rand_like(value.float()) for name, value in state.items()}


def _loaded(path: Path, donor: dict[str, Tensor]) -> None:
    net = create_backbone("timm/test_resnet", image_size=32, pretrained=str(path))
    own = net.state_dict()
    for name, value in donor.items():
        if "head" not in name and "fc" not in name:
            torch.testing.assert_close(own[name], value.to(own[name].dtype))


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_common_prefix_is_taken_off(prefix: str, donor: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save({"state_dict": {prefix + n: v for n, v in donor.items()} | {"loss.weight": torch.ones(2)}
                if prefix else donor}, tmp_path / "w.pt")  # fmt: skip
    _loaded(tmp_path / "w.pt", donor)


@pytest.mark.parametrize("container", ["net", "model_state_dict", "weights", "ema", "model"])
def test_a_container_is_looked_into(container: str, donor: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save({container: donor, "epoch": 3}, tmp_path / "w.pt")
    _loaded(tmp_path / "w.pt", donor)


def test_safetensors_are_read(donor: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(donor, tmp_path / "w.safetensors")
    _loaded(tmp_path / "w.safetensors", donor)
    (tmp_path / "w.safetensors").write_bytes(b"none")
    with pytest.raises(UserError, match="damaged"):
        read_weights(tmp_path / "w.safetensors")


def test_names_of_its_own_are_not_taken_for_prefixes(tmp_path: Path) -> None:
    inner = nn.ModuleDict({"net": nn.Linear(2, 1), "module": nn.Linear(2, 1), "fc": nn.Linear(2, 1)})
    state = inner.state_dict()
    assert fitting_names(state, state).keys() == state.keys()
    save_weights(tmp_path / "best.ckpt", state, ModelSpec("mine", Framing(32)))
    assert read_checkpoint(tmp_path / "best.ckpt")[1].keys() == state.keys()
    last = {"optimizer_states": [], "gender_lightning": ModelSpec("mine", Framing(32)).to_dict()}
    torch.save(last | {"state_dict": {"net." + n: v for n, v in state.items()}}, tmp_path / "last.ckpt")
    assert read_checkpoint(tmp_path / "last.ckpt")[1].keys() == state.keys()


def test_a_position_embedding_of_another_size_is_resampled() -> None:
    small = create_backbone("timm/test_vit", image_size=32)
    large = create_backbone("timm/test_vit", image_size=64)
    load_pretrained(large, small.state_dict(), source="a run")
    torch.testing.assert_close(large.state_dict()["blocks.0.attn.qkv.weight"],
                               small.state_dict()["blocks.0.attn.qkv.weight"])  # fmt: skip


def test_grey_weights_make_a_colour_stem() -> None:
    net = create_backbone("timm/test_resnet", image_size=32)
    state = net.state_dict()
    stem = next(name for name, value in state.items() if value.ndim == 4)
    grey = torch.rand_like(state[stem][:, :1])
    load_pretrained(net, state | {stem: grey}, source="a file")
    torch.testing.assert_close(net.state_dict()[stem].sum(1, keepdim=True), grey)


def test_a_file_means_the_statistics_of_the_name(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1)}, tmp_path / "w.pt")
    assert normalisation("googlenet", str(tmp_path / "w.pt"))[0] == (0.5, 0.5, 0.5)
    assert normalisation("timm/mixer_b16_224", str(tmp_path / "w.pt"))[0] == (0.5, 0.5, 0.5)
