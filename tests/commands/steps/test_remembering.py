"""What a training writes into its checkpoint about valid, and a count that is refused for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from gender_lightning.commands.population import population, refuse_other_kinds
from gender_lightning.commands.steps.remembering import remember_valid
from gender_lightning.config import PopulationConfig, parse_config
from gender_lightning.data.dataset import FaceDataset
from gender_lightning.data.decoding import frame_tensor
from gender_lightning.data.framing import Framing
from gender_lightning.data.sources.annotations import Index
from gender_lightning.data.sources.images import FolderStore
from gender_lightning.errors import UserError
from gender_lightning.evaluation.statistics.prevalence import Estimate
from gender_lightning.inference.domain import Domain, domain_of
from gender_lightning.inference.population import ALL, Crowd, GroupCount
from gender_lightning.inference.stream.local import Classifier
from gender_lightning.machine.hardware import Hardware
from gender_lightning.models.backbones import create_backbone
from gender_lightning.models.checkpoints.checkpoint import ModelSpec, Network, load_network, save_weights, update_spec
from gender_lightning.overrides import compose

FRAMING, HARDWARE = Framing(32), Hardware("cpu", 1, "32-true", False, False)


def _draw(folder: Path, number: int, *, red: bool = False) -> None:
    """Pictures whose brightness tells the class."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(len(folder.name))
    for row in range(number):
        small = random.normal(170 if row % 2 else 90, 25, (5, 4, 3)) + (np.array([60, 0, -60]) if red else 0)
        Image.fromarray(np.clip(small, 0, 255).astype(np.uint8)).resize((89, 109)).save(folder / f"{row:03d}.png")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("remembering")
    for name, number in (("valid", 160), ("alike", 60)):
        _draw(folder / name, number)
    _draw(folder / "red", 60, red=True)
    return folder


@pytest.fixture(scope="module")
def checkpoint(root: Path) -> Path:
    """A checkpoint that remembers valid as a training lets it, in a run directory with its predictions."""
    torch.manual_seed(2)
    spec = ModelSpec("timm/test_resnet", FRAMING, placement=None)
    network = Network(create_backbone("timm/test_resnet", image_size=32), spec).eval()
    ids = np.array([f"{row:03d}.png".encode() for row in range(160)])
    labels = (np.arange(160) % 2).astype(np.int8)
    index = Index(ids, labels, np.ones(160, dtype=np.int8), np.zeros((160, 0), dtype=np.bool_), ())
    dataset = FaceDataset(index, FolderStore(root / "valid"), FRAMING)
    # the head is turned so that the random network tells the classes apart
    with torch.inference_mode():
        logits = network(dataset.__getitems__(list(range(160))).images).numpy()
    middle, width = float(np.median(logits)), float(logits.std())
    sign = np.sign(np.corrcoef(logits, labels)[0, 1])
    with torch.no_grad():
        head = network.net.get_submodule("fc") if hasattr(network.net, "fc") else network.net.head.fc  # type: ignore[union-attr]
        head.weight.mul_(sign * 2 / width)
        head.bias.sub_(middle).mul_(sign * 2 / width)
    logits = sign * 2 * (logits - middle) / width
    table = pd.DataFrame({
        "image_id": [name.decode() for name in ids], "split": "valid", "label": labels, "logit": logits,
        "probability": 1 / (1 + np.exp(-logits)), "identity": pd.array([None] * 160, dtype="Int32"),
    })  # fmt: skip
    (root / "run" / "predictions").mkdir(parents=True)
    table.to_parquet(root / "run" / "predictions" / "valid.parquet")
    (root / "run" / "run.json").write_text("{}")
    best = root / "run" / "checkpoints" / "best.ckpt"
    best.parent.mkdir()
    save_weights(best, network.net.state_dict(), spec)
    valid = remember_valid(network, dataset, np.arange(160), table, HARDWARE, 0.5)
    assert valid is not None
    update_spec(best, valid)
    return best


def test_what_is_remembered_is_what_the_pictures_give(checkpoint: Path) -> None:
    domain = domain_of(checkpoint)
    assert domain is not None
    table = pd.read_parquet(checkpoint.parents[1] / "predictions" / "valid.parquet")
    male = table["label"] == 1
    for one, members in enumerate((~male, male)):
        assert domain.moments.means[one, 0] == pytest.approx(table["logit"][members].clip(-10, 10).mean(), abs=1e-3)
    assert domain.moments.number.tolist() == [80, 80]


def test_too_few_people_or_a_picture_that_is_gone_leave_nothing(root: Path, checkpoint: Path) -> None:
    ids = np.array([b"000.png", b"001.png", b"gone.png"] * 10)
    index = Index(ids, np.arange(30).astype(np.int8) % 2, np.ones(30, dtype=np.int8), np.zeros((30, 0), np.bool_), ())
    dataset = FaceDataset(index, FolderStore(root / "valid"), FRAMING)
    network = Network(create_backbone("timm/test_resnet", image_size=32), ModelSpec("timm/test_resnet", FRAMING))
    table = pd.DataFrame({"label": index.labels, "logit": np.linspace(-3, 3, 30)})
    nobody = table.assign(identity=pd.array([None] * 30, dtype="Int32"))
    assert remember_valid(network, dataset, np.arange(30), nobody, HARDWARE, 0.5) is None  # one is gone
    few = table.assign(identity=pd.array([row % 8 for row in range(30)], dtype="Int32"))
    assert remember_valid(network, dataset, np.arange(30), few, HARDWARE, 0.5) is None
    assert Domain.from_dict({}) is None


def _count(checkpoint: Path, folder: Path, *more: str) -> float:
    typed = [f"checkpoint={checkpoint}", f"input={folder}", "minimum=10", "draws=200", "workers=0", "accelerator=cpu"]
    return population(parse_config(PopulationConfig, compose("population", [*typed, *more])))[0].estimate.share


def test_a_count_of_another_kind_is_refused(root: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _count(checkpoint, root / "alike") == pytest.approx(0.5, abs=0.1)
    with pytest.raises(UserError, match="another kind than the run's valid split.*uncorrected, ") as refused:
        _count(checkpoint, root / "red")
    assert refused.value.field == "reference"
    # labelled faces of valid's kind do not help
    with pytest.raises(UserError, match="Nor do their scores look like"):
        _count(checkpoint, root / "red", f"reference={checkpoint.parents[1]}/predictions/valid.parquet")
    capsys.readouterr()


def test_labelled_faces_of_the_crowds_kind_are_used(
    root: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    classifier = Classifier(load_network(checkpoint), HARDWARE, 0.0, 16, domain_of(checkpoint))
    index_of = sorted((root / "red").iterdir())
    pixels = torch.stack([frame_tensor(np.array(Image.open(path).convert("RGB")), FRAMING) for path in index_of])
    classifier.answers(pixels)
    classifier.seen.take(60, 60)
    typed = [f"checkpoint={checkpoint}", "input=x", "reference=labelled.parquet"]
    config = parse_config(PopulationConfig, compose("population", typed))
    everyone = GroupCount(ALL, Estimate(60, 0.5, 0.4, 0.6, 0.45), fit=0.5)
    refuse_other_kinds(everyone, config, classifier, Crowd("none", 60, 0.5))
    assert "The labelled faces of reference= are used instead" in " ".join(capsys.readouterr().out.split())
    with pytest.raises(UserError, match=r"uncorrected, 45.0% of 60 faces are decided male"):
        refuse_other_kinds(replace(everyone, fit=0.001), config, classifier, Crowd("none", 60, 0.5))
