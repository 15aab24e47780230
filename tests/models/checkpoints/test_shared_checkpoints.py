"""Checkpoints by name: fetched from a server of the hub's kind, from W&B's client, and from the caches of both."""

from __future__ import annotations

import inspect
import io
import json
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import wandb
from hub_server import TOKEN, Hub
from torch import Tensor
from wandb.sdk.artifacts.artifact_manifest_entry import ArtifactManifestEntry

from gender_lightning.commands.steps.absolute_paths import with_absolute_paths
from gender_lightning.config import TrainConfig, parse_config
from gender_lightning.data.framing import Framing
from gender_lightning.errors import UserError
from gender_lightning.inference.predictor import load
from gender_lightning.models.backbones import create_backbone, normalisation
from gender_lightning.models.checkpoints import weights
from gender_lightning.models.checkpoints.checkpoint import ModelSpec, load_network, read_checkpoint, save_weights
from gender_lightning.models.checkpoints.files import checkpoint_file
from gender_lightning.models.checkpoints.remote import MOST_BYTES, fetch, is_remote, pinned
from gender_lightning.overrides import compose

SPEC = ModelSpec(
    "timm/test_resnet",
    Framing(32, crop="lower", zoom=0.9),
    arguments={"drop_path_rate": 0.1},
    mean=(0.1, 0.2, 0.3),
    test_time_flip=True,
    test_time_zooms=(1.0, 1.5),
    temperature=1 / 3,
    threshold=0.1 + 0.2,
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same weights as a checkpoint and as safetensors, and others."""
    folder, found = tmp_path_factory.mktemp("published"), {}
    for seed, names in ((1, ("best.ckpt", "model.safetensors")), (2, ("other.safetensors",))):
        torch.manual_seed(seed)
        state = create_backbone("timm/test_resnet", image_size=32).state_dict()
        for name in names:
            found[name] = folder / name
            save_weights(folder / name, state, SPEC)
    return found


def logits(path: str | Path, faces: Tensor) -> Tensor:
    return load(path, device="cpu", faces="none").network(faces)


def test_safetensors_give_everything_back_that_a_checkpoint_gives(files: dict[str, Path], tiny_faces: Tensor) -> None:
    (spec, state), (other_spec, other) = (read_checkpoint(files[name]) for name in ("best.ckpt", "model.safetensors"))
    assert spec == other_spec == SPEC and state.keys() == other.keys()
    assert all(torch.equal(state[name], other[name]) for name in state)
    assert torch.equal(logits(files["best.ckpt"], tiny_faces), logits(files["model.safetensors"], tiny_faces))
    assert files["best.ckpt"].stat().st_mode == files["model.safetensors"].stat().st_mode
    assert normalisation("resnet18", str(files["model.safetensors"]))[0] == (0.1, 0.2, 0.3)


def test_weights_that_lost_their_metadata_are_described_by_the_configuration_beside_them(
    files: dict[str, Path], tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    save_file(load_file(files["model.safetensors"]), tmp_path / "model.safetensors")
    with pytest.raises(UserError, match="does not describe how to use its weights"):
        read_checkpoint(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"gender_lightning": SPEC.to_dict()}))
    assert read_checkpoint(tmp_path)[0] == SPEC


@pytest.mark.parametrize("text", ["{", "[" * 100_000, '{"backbone": 1}', '{"backbone": "resnet18"}'])
def test_a_description_by_somebody_else_may_be_anything(text: str, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"a": torch.ones(1)}, tmp_path / "a.safetensors", {"gender_lightning": text})
    with pytest.raises(UserError):
        read_checkpoint(tmp_path / "a.safetensors")


# ------------------------------------------------------------------ the hub


def test_a_name_may_have_lost_a_slash_on_its_way() -> None:
    assert is_remote("hf://a/b") and is_remote(Path("hf://a/b")) and is_remote("wandb://a/b/c:best")
    assert not is_remote("hf") and not is_remote("/hf://a/b") and not is_remote(Path("runs/hf:/a"))


def test_a_published_checkpoint_is_loaded_pinned_and_used_without_a_network(
    hub: Hub, files: dict[str, Path], tiny_faces: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = hub.add("me/faces", {"model.safetensors": files["model.safetensors"].read_bytes()})
    hub.repositories["me/faces"].tags["v1.0"] = first
    hub.add("me/faces", {"model.safetensors": files["other.safetensors"].read_bytes()})
    old, new = (logits(files[name], tiny_faces) for name in ("model.safetensors", "other.safetensors"))
    assert not torch.equal(old, new)
    assert torch.equal(logits("hf://me/faces", tiny_faces), new)
    for name in ("hf://me/faces@v1.0", f"hf://me/faces@{first}", "hf://me/faces@v1.0/model.safetensors"):
        assert torch.equal(logits(name, tiny_faces), old)
    assert pinned("hf://me/faces@v1.0") == f"hf://me/faces@{first}/model.safetensors"
    assert torch.equal(create_backbone("timm/test_resnet", image_size=32, pretrained="hf://me/faces").fc.weight,
                       read_checkpoint(files["other.safetensors"])[1]["fc.weight"])  # fmt: skip

    values = compose("train", ["model.pretrained=hf://me/faces@v1.0"])
    config, written = with_absolute_paths(parse_config(TrainConfig, values), values)
    assert config.model.pretrained == written["model"]["pretrained"] == pinned("hf://me/faces@v1.0")

    asked = len(hub.requests)
    assert torch.equal(logits(f"hf://me/faces@{first}", tiny_faces), old)
    assert len(hub.requests) == asked, "a commit never changes"
    monkeypatch.setattr(weights, "_hub_answers", lambda: False)
    assert torch.equal(logits("hf://me/faces", tiny_faces), new)
    assert torch.equal(logits("hf://me/faces@v1.0", tiny_faces), old)
    assert len(hub.requests) == asked
    with pytest.raises(UserError, match=r"hf://me/other is not in the cache .* cannot be reached\. Connect"):
        fetch("hf://me/other")


def test_every_way_in_which_a_name_means_nothing_is_a_sentence(
    hub: Hub, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("me/faces", {"best.ckpt": files["best.ckpt"].read_bytes()})
    hub.add("me/secret", {"model.safetensors": files["model.safetensors"].read_bytes()}, private=True)
    assert read_checkpoint(Path("hf://me/faces@main/best.ckpt"))[0] == SPEC
    for name, words in {
        "hf://me/nothing": "There is no repository me/nothing .* or it is private",
        "hf://me/secret": "There is no repository me/secret .* or it is private",
        "hf://me/faces": r"hf://me/faces has no file model\.safetensors\. Name one that it has: hf://me/faces/FILE",
        "hf://me/faces@v9": "hf://me/faces has no revision v9",
        "hf://me": "is not the name of a checkpoint on the Hugging Face hub",
        "hf://a..b/--c": "is not a name that the hub allows",
    }.items():
        with pytest.raises(UserError, match=words):
            fetch(name)
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(UserError, match="does not accept your token") as caught:
        fetch("hf://me/secret")
    assert "hf_wrong" not in str(caught.value)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert read_checkpoint(Path("hf://me/secret"))[0] == SPEC
    hub.failing["/resolve/"] = 503
    with pytest.raises(UserError, match=r"failed \(status 503.*HF_HUB_OFFLINE=1"):
        fetch("hf://me/secret")


class _Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise SystemExit('it was run')",)


def test_a_hostile_repository_is_refused(hub: Hub, tmp_path: Path) -> None:
    pickled, saved = pickle.dumps({"state_dict": _Evil()}), io.BytesIO()
    torch.save({"state_dict": _Evil()}, saved)
    hub.add("evil/faces", {"best.ckpt": pickled, "saved.ckpt": saved.getvalue(), "huge.safetensors": b"small"})
    for file in ("best.ckpt", "saved.ckpt"):
        with pytest.raises(UserError, match="refused for safety"):
            load_network(Path(f"hf://evil/faces/{file}"))
    hub.announced["huge.safetensors"] = 10 * 10**9
    assert MOST_BYTES < 10 * 10**9
    with pytest.raises(UserError, match=r"huge\.safetensors in hf://evil/faces has 10\.0 GB"):
        fetch("hf://evil/faces/huge.safetensors")
    assert "GET /evil/faces/resolve/main/huge.safetensors" not in hub.requests
    for name in ("../../../outside", "a/../../b", "..", "a//b", "a\\..\\b", "/etc/passwd", "@../x", "@.."):
        with pytest.raises(UserError, match="is not the name"):
            fetch(f"hf://evil/faces{'' if name.startswith('@') else '/'}{name}")
    for header in ({"ETag": '"../../../outside"'}, {"X_Repo_Commit": "../../outside"}):
        hub.headers = header
        with pytest.raises(UserError, match="does not answer as the Hugging Face hub does"):
            fetch("hf://evil/faces/saved.ckpt")
    assert not list(tmp_path.rglob("outside*"))


# ------------------------------------------------------------------ W&B


class Entry(SimpleNamespace):
    """A file in an artifact, which is downloaded as by W&B's client."""

    path: str
    content: bytes
    ref: str | None = None

    @property
    def size(self) -> int:
        return len(self.content)

    def download(self, root: str, skip_cache: bool) -> str:
        target = Path(root) / self.path
        target.write_bytes(self.content)
        return str(target)


class Client:
    """What `wandb.Api` is asked; a stand-in for its class, as far as it is used."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.versions: dict[str, str] = {}
        self.entries: dict[str, Entry] = {}

    def artifact(self, name: str) -> SimpleNamespace:
        self.asked.append(name)
        if name.rpartition(":")[2] not in self.versions:
            raise wandb.errors.CommError(f"artifact '{name}' not found")
        return SimpleNamespace(
            version=self.versions[name.rpartition(":")[2]],
            manifest=SimpleNamespace(entries=self.entries),
            get_entry=self.entries.__getitem__,
        )


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Client:
    made = Client()
    monkeypatch.setattr(wandb, "Api", lambda: made)
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_MODE", "online")
    return made


def test_the_stand_in_is_asked_what_the_client_can_be_asked() -> None:
    entry = ArtifactManifestEntry(path="best.ckpt", digest="digest", size=3)
    inspect.signature(entry.download).bind(root="folder", skip_cache=True)
    inspect.signature(wandb.Api.artifact).bind(None, "me/faces/model:best")
    assert entry.ref is None and entry.size == 3
    assert isinstance(wandb.Artifact.version, property) and isinstance(wandb.Artifact.manifest, property)


def test_an_artifact_is_fetched_once_per_version(
    client: Client, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    name = "wandb://me/faces/model-1a2b:best"
    client.versions = {"best": "v3", "v3": "v3"}
    client.entries = {"best.ckpt": Entry(path="best.ckpt", content=files["best.ckpt"].read_bytes(), ref=None)}
    assert read_checkpoint(Path(name))[0] == SPEC
    assert client.asked == ["me/faces/model-1a2b:best"]
    assert pinned(name) == "wandb://me/faces/model-1a2b:v3"
    path = checkpoint_file(Path("wandb://me/faces/model-1a2b:v3"))
    assert len(client.asked) == 2, "a version never changes"
    client.entries = {"best.ckpt": Entry(path="best.ckpt", content=files["other.safetensors"].read_bytes(), ref=None)}
    client.versions["best"] = "v4"
    assert fetch(name) != path

    client.versions = {}  # it does not answer
    assert fetch(name).parent.name == "v4" and "wandb://me/faces/model-1a2b:v4 is used" in caplog.text
    monkeypatch.setenv("WANDB_MODE", "offline")
    asked = len(client.asked)
    assert fetch(name).parent.name == "v4" and fetch("wandb://me/faces/model-1a2b:v3") == path
    with pytest.raises(UserError, match=r"wandb://me/faces/model-1a2b:latest is not in the cache .* offline"):
        fetch("wandb://me/faces/model-1a2b")
    assert len(client.asked) == asked


def test_an_artifact_that_is_of_no_use_is_a_sentence(client: Client, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"could not be fetched \(CommError: artifact .* not found"):
        fetch("wandb://me/faces/nothing:best")
    for name in ("wandb://me/faces", "wandb://me/../faces/model", "wandb://me/faces/model:../v1"):
        with pytest.raises(UserError, match="is not the name of an artifact"):
            fetch(name)
    client.versions = {"v1": "v1"}
    for entries, words in (
        ([], r"does not hold one checkpoint, but 0 \(none\)"),
        ([("a.ckpt", None), ("b.pt", None)], r"but 2 \(a\.ckpt, b\.pt\)"),
        ([("../../outside.ckpt", None)], "lies elsewhere"),
        ([("best.ckpt", "file:///etc/passwd")], "lies elsewhere"),
    ):
        client.entries = {path: Entry(path=path, content=b"x", ref=ref) for path, ref in entries}
        with pytest.raises(UserError, match=words):
            fetch("wandb://me/faces/model:v1")
    assert not list(tmp_path.rglob("outside*"))
