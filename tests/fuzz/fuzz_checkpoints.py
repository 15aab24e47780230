"""Checkpoints and tables of others: damaged, foreign, packed, absurd, and such as would run code."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fuzz_harness import Case, Rng, damaged
from torch import nn

from gender_lightning.data.framing import Framing
from gender_lightning.errors import UserError
from gender_lightning.models.backbones import create_backbone, normalisation
from gender_lightning.models.checkpoints.checkpoint import KEY, ModelSpec, load_network, read_checkpoint
from gender_lightning.models.checkpoints.transfer import read_weights

SMALL = {"weight": torch.arange(12.0).reshape(3, 4), "bias": torch.zeros(3)}


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


class Calls:
    """Calls anything when it is unpickled."""

    def __init__(self, call: Any, *arguments: Any) -> None:
        self.what = (call, arguments)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.what


def content(**changes: Any) -> dict[str, Any]:
    """A checkpoint with weights of no network."""
    return {KEY: {**ModelSpec("timm/test_resnet", Framing(32)).to_dict(), **changes}, "state_dict": dict(SMALL)}


def saved(value: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, **options)
    return file.getvalue()


def cases(rng: Rng, share: float, folder: Path) -> Iterator[Case]:
    """About 900 cases at a share of 1."""
    whole = [saved(content()), saved(content(), _use_new_zipfile_serialization=False), saved(SMALL)]
    for number in range(round(700 * share)):
        yield Case("checkpoint, damaged", partial(_read, folder, damaged(whole[number % len(whole)], rng)))
    yield from _foreign(folder)
    for name, value in _specs():
        yield Case("checkpoint, odd description", partial(_read, folder, saved(content(**{name: value}))))
    net = create_backbone("timm/test_resnet", image_size=32)
    state = dict(net.state_dict())
    for arguments in _arguments(folder):
        made = {
            KEY: {**ModelSpec("timm/test_resnet", Framing(32)).to_dict(), "arguments": arguments},
            "state_dict": state,
        }
        yield Case("checkpoint, odd arguments", partial(_load, folder, saved(made)))
    for backbone in (
        "resnet18",
        "timm/hf-hub:evil/model",
        "timm/local-dir:/tmp",
        "vit_b_16",
        "..",
        "timm/",
        "os.system",
    ):
        made = {KEY: {**ModelSpec("x", Framing(32)).to_dict(), "backbone": backbone}, "state_dict": state}
        yield Case("checkpoint, another network", partial(_load, folder, saved(made)))


def _foreign(folder: Path) -> Iterator[Case]:
    canary = folder.parent / "pwned"
    evil = {"state_dict": Evil(canary), KEY: Evil(canary)}
    calls = (
        Calls(exec, f"open({str(canary)!r}, 'w')"),
        Calls(eval, "1"),
        Calls(getattr, Path, "home"),
        nn.Linear(2, 2),
    )
    for protocol in range(6):
        for value in (Evil(canary), *calls, evil, {1, 2}, np.arange(3), [SMALL["bias"].numpy()]):
            yield Case("checkpoint, a pickle", partial(_safe, folder, canary, pickle.dumps(value, protocol)))
    for value in (
        Evil(canary),
        *calls,
        evil,
        [1, 2],
        "text",
        None,
        SMALL["bias"],
        {1: SMALL["bias"]},
        {"state_dict": 3},
    ):
        for zipped in (True, False):
            data = saved(value, _use_new_zipfile_serialization=zipped)
            yield Case("checkpoint, a pickle in torch's form", partial(_safe, folder, canary, data))
    for data in (b"", b"PK", b"\x80", b"\x80\x02.", b"ustar" * 200, _packed(saved(content())), _bomb(), bytes(3000)):
        yield Case("checkpoint, another file", partial(_safe, folder, canary, data))


def _packed(data: bytes) -> bytes:
    """The same, compressed."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry) + bytes(1000))
    return file.getvalue()


def _bomb() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(1 << 28))
        archive.writestr("archive/version", b"3\n")
    return file.getvalue()


def _specs() -> Iterator[tuple[str, Any]]:
    absurd = (
        None,
        True,
        -1,
        0,
        1e300,
        10**400,
        float("nan"),
        float("inf"),
        "",
        "x" * 10_000,
        "\x1b[2J",
        "\N{SNOWMAN}",
        [],
        {},
        [[]],
        (1, 2, 3),
        {"a": {}},
        b"x",
        SMALL["bias"],
        [SMALL["bias"]] * 3,
        {1: 2},
    )
    for name in (*ModelSpec("x", Framing(1)).to_dict(), "another"):
        for value in absurd:
            yield name, value


def _arguments(folder: Path) -> Iterator[dict[str, Any]]:
    weights = str(folder / "other.ckpt")
    yield from (
        {},
        {},
        {"checkpoint_path": weights},
        {"pretrained": True},
        {"pretrained_cfg": {"file": weights}},
        {"pretrained_cfg_overlay": {"file": weights}},
        {"cache_dir": weights},
        {"features_only": True},
        {"num_classes": 10**9},
        {"nothing": 1},
        {"layers": [10**6]},
        {"layers": [1, 1, 1, 10_000]},
        {"stem_width": 10**6},
        {"in_chans": 10**7},
        {"block": "os.system"},
        {"act_layer": "eval"},
        {"drop_rate": 7.0},
        {"channels": [10**5] * 4},
        {"norm_layer": "__import__"},
        {"img_size": 10**9},
        {"in_chans": -1},
        {"in_chans": "x"},
        {"drop_path_rate": "x"},
    )


def _read(folder: Path, data: bytes) -> None:
    """Each reader of such a file, the last of which says how it ends."""
    path = folder / "some.ckpt"
    path.write_bytes(data)
    for reader in (read_weights, lambda place: normalisation("resnet18", str(place))):
        try:
            reader(path)
        except UserError:
            continue
    read_checkpoint(path)


def _safe(folder: Path, canary: Path, data: bytes) -> None:
    try:
        _read(folder, data)
    finally:
        assert not canary.exists(), "the file has run code"


def _load(folder: Path, data: bytes) -> None:
    path = folder / "some.ckpt"
    path.write_bytes(data)
    load_network(path)(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))
