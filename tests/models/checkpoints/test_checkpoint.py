from __future__ import annotations

import errno
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import nn

from gender_lightning import durable
from gender_lightning.data.framing import Framing
from gender_lightning.errors import UserError
from gender_lightning.models.backbones import create_backbone
from gender_lightning.models.checkpoints.checkpoint import (
    KEY,
    ModelSpec,
    Network,
    load_network,
    no_larger_than,
    read_checkpoint,
    save_weights,
    update_spec,
)
from gender_lightning.models.checkpoints.files import checkpoint_file

SPEC = ModelSpec(
    "resnet18",
    Framing(32, "lower", 0.9),
    mean=(0.5, 0.4, 0.3),
    std=(0.2, 0.3, 0.4),
    temperature=2.0,
    test_time_flip=True,
    test_time_zooms=(1.0, 1.5),
)


@pytest.fixture(scope="module")
def net() -> torch.nn.Module:
    torch.manual_seed(1)
    return create_backbone("resnet18", image_size=32).eval()


@pytest.fixture
def best(tmp_path: Path, net: torch.nn.Module) -> Path:
    path = tmp_path / "run" / "checkpoints" / "best.ckpt"
    path.parent.mkdir(parents=True)
    save_weights(path, net.state_dict(), SPEC)
    return path


def test_a_checkpoint_comes_back_as_it_went(best: Path, net: torch.nn.Module) -> None:
    spec, state = read_checkpoint(best)
    assert spec == SPEC
    assert state.keys() == net.state_dict().keys()
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in state.items())
    assert read_checkpoint(best.parent.parent)[0] == SPEC
    assert [file.name for file in best.parent.iterdir()] == ["best.ckpt"]


def test_a_network_normalises_averages_views_and_calibrates(best: Path, net: torch.nn.Module) -> None:
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    normalised = torchvision.transforms.functional.normalize(images / 255, list(SPEC.mean), list(SPEC.std))
    with torch.no_grad():
        small = torchvision.transforms.functional.resize(normalised, [21, 21], antialias=True)  # 32 px / 1.5
        distant = torchvision.transforms.functional.pad(small, [5, 5, 6, 6], padding_mode="edge")
        views = [normalised, distant]
        views += [torchvision.transforms.functional.hflip(view) for view in views]
        expected = torch.stack([net(view) for view in views]).mean(dim=0)
        network = load_network(best)
        torch.testing.assert_close(network(images), expected)
        torch.testing.assert_close(network.probability(images), torch.sigmoid(expected / 2.0))
    assert isinstance(network, Network)
    assert not network.training


def test_lightnings_prefix_and_other_keys_are_stripped(tmp_path: Path, net: torch.nn.Module) -> None:
    state = {f"net.{name}": value for name, value in net.state_dict().items()} | {"other.scale": torch.ones(3)}
    path = tmp_path / "last.ckpt"
    torch.save({KEY: SPEC.to_dict(), "state_dict": state, "epoch": 3, "optimizer_states": []}, path)
    assert read_checkpoint(path)[1].keys() == net.state_dict().keys()


def test_the_spec_changes_and_the_weights_do_not(best: Path) -> None:
    before = read_checkpoint(best)[1]
    update_spec(best, temperature=1.5, threshold=0.25)
    spec, after = read_checkpoint(best)
    assert (spec.temperature, spec.threshold, spec.mean) == (1.5, 0.25, SPEC.mean)
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    with pytest.raises(UserError, match="temperature=0"):
        update_spec(best, temperature=0)
    assert read_checkpoint(best)[0].temperature == 1.5


@pytest.mark.parametrize(
    "change",
    [
        {"colour": 1}, {"image_size": "112"}, {"image_size": True}, {"zoom": 0.0}, {"crop": "oval"},
        {"mean": [0.5, 0.5]}, {"std": [0.0, 1.0, 1.0]}, {"class_names": "ab"}, {"temperature": float("nan")},
        {"arguments": [1]}, {"test_time_flip": 1}, {"crop": []},
    ],
)  # fmt: skip
def test_a_spec_that_does_not_fit_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=f"{next(iter(change))}.*Use the version that wrote it"):
        ModelSpec.from_dict({**SPEC.to_dict(), **change})
    with pytest.raises(UserError, match="'backbone' is missing"):
        ModelSpec.from_dict({"image_size": 32})


def test_a_spec_is_plain() -> None:
    assert ModelSpec.from_dict(SPEC.to_dict()) == SPEC
    assert not any(isinstance(value, tuple) for value in SPEC.to_dict().values())


class Foreign:
    pass


def test_whatever_is_no_checkpoint_is_named(tmp_path: Path, best: Path, net: torch.nn.Module) -> None:
    def refused(path: Path, message: str) -> None:
        with pytest.raises(UserError, match=message) as caught:
            read_checkpoint(path)
        assert str(path) in str(caught.value)

    refused(tmp_path / "nothing.ckpt", "does not exist")
    refused(tmp_path, "has no checkpoints/best.ckpt")
    whole = best.read_bytes()
    for length in (0, 10, 1000, len(whole) // 2, len(whole) - 10):
        best.write_bytes(whole[:length])
        refused(best, "damaged|not a checkpoint")
    for name, content in {
        "text": b"hello\n",
        "jpeg": b"\xff\xd8\xff\xe0" * 9,
        "pickle": pickle.dumps(Foreign()),
    }.items():
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name, "damaged|not a checkpoint")
    torch.save(Foreign(), tmp_path / "object")
    refused(tmp_path / "object", "refused for safety")
    torch.save([1, 2], tmp_path / "list")
    refused(tmp_path / "list", "no dictionary")
    torch.save(net.state_dict(), tmp_path / "bare")
    refused(tmp_path / "bare", "not a checkpoint of gender_lightning")


def test_weights_of_another_network_are_refused(tmp_path: Path, net: torch.nn.Module) -> None:
    save_weights(tmp_path / "x.ckpt", net.state_dict(), ModelSpec("resnet34", Framing(32)))
    with pytest.raises(UserError, match="not those of resnet34"):
        load_network(tmp_path / "x.ckpt")


def test_a_full_disk_leaves_the_old_file(best: Path, net: torch.nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(content: object, file: Any) -> None:
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("torch.save", full)
    with pytest.raises(UserError, match="No space left on device"):
        save_weights(best, net.state_dict(), SPEC)
    assert read_checkpoint(best)[0] == SPEC
    assert [file.name for file in best.parent.iterdir()] == ["best.ckpt"]


def test_a_device_that_is_full_is_the_users_to_mend(net: torch.nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full")
    monkeypatch.setattr(durable, "open", lambda path, mode: full.open("wb"), raising=False)
    with pytest.raises(UserError, match="could not be written"):
        save_weights(Path("/tmp/never.ckpt"), net.state_dict(), SPEC)


def test_a_directory_that_is_gone_is_not_made_again(tmp_path: Path, net: torch.nn.Module) -> None:
    with pytest.raises(UserError, match="could not be written: No such file or directory"):
        save_weights(tmp_path / "unmounted" / "best.ckpt", net.state_dict(), SPEC)
    assert not list(tmp_path.iterdir())


def test_what_other_threads_build_does_not_count_against_a_file() -> None:
    def build() -> list[nn.Linear]:
        return [nn.Linear(1, 1) for _ in range(1000)]

    with no_larger_than({}, Path("a.ckpt")), ThreadPoolExecutor(1) as threads:
        threads.submit(build).result()
    with no_larger_than({}, Path("a.ckpt")), pytest.raises(UserError, match=r"a\.ckpt describes a network far larger"):
        build()


def test_the_file_is_flat_and_one_written_before_placements_reads(best: Path) -> None:
    flat = SPEC.to_dict()
    assert (flat["image_size"], flat["crop"], flat["zoom"], flat["interpolation"]) == (32, "lower", 0.9, "bilinear")
    del flat["placement"]
    assert ModelSpec.from_dict(flat) == SPEC
    for placement in ([218, 178, 69.5, 111.5, 107.5], [218, 178, 107.5, 111.5, 69.5, 111.5], [9, 9, 1, 1, 60, 1], 3):
        with pytest.raises(UserError, match="placement"):
            ModelSpec.from_dict({**flat, "placement": placement})


def test_the_home_folder_may_be_named_by_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "checkpoints" / "best.ckpt").touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert checkpoint_file(Path("~/run")) == tmp_path / "run" / "checkpoints" / "best.ckpt"
