"""`population`: what is printed beside the counts."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from gender_lightning.commands import population as command
from gender_lightning.commands.population import population
from gender_lightning.config import PopulationConfig, parse_config
from gender_lightning.data.framing import CELEBA, Framing, Placement
from gender_lightning.models.backbones import create_backbone
from gender_lightning.models.checkpoints.checkpoint import ModelSpec, save_weights
from gender_lightning.overrides import compose


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pictures of nobody, and labelled predictions to know a model's confusion from."""
    root = tmp_path_factory.mktemp("crowd")
    rng = np.random.default_rng(4)
    (root / "photos").mkdir()
    for number in range(12):
        small = rng.integers(40, 220, (6, 5, 3), dtype=np.uint8)
        Image.fromarray(small).resize((89, 109)).save(root / "photos" / f"{number}.png")
    labels = (np.arange(200) % 2).astype(np.int8)
    logits = (2 * labels - 1 + rng.normal(0, 1, 200)).astype(np.float32)
    table = pd.DataFrame({
        "image_id": [f"{row}.png" for row in range(200)], "split": "valid", "label": labels, "logit": logits,
        "probability": 1 / (1 + np.exp(-logits)), "identity": pd.array([None] * 200, dtype="Int32"),
    })  # fmt: skip
    table.to_parquet(root / "valid.parquet")
    return root


@pytest.mark.parametrize(("placement", "told"), [(None, 1), (CELEBA, 0)])
def test_that_pictures_are_used_as_they_are_is_said_once(
    crowd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], placement: Placement | None, told: int
) -> None:
    torch.manual_seed(2)
    net = create_backbone("timm/test_resnet", image_size=32)
    spec = ModelSpec("timm/test_resnet", Framing(32), placement=placement)
    save_weights(tmp_path / "best.ckpt", net.state_dict(), spec)
    typed = [f"checkpoint={tmp_path}/best.ckpt", f"input={crowd}/photos", f"reference={crowd}/valid.parquet"]
    how = ["minimum=10", "draws=200", "workers=0", "accelerator=cpu"]
    lines = population(parse_config(PopulationConfig, compose("population", [*typed, *how])))
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("trained on whole pictures without alignment, so these pictures are used as they are") == told
    assert lines[0].estimate.faces == 12 and "12 pictures: 0 without a face, 0 unreadable" in said


@pytest.mark.parametrize(("asked", "endless", "workers"), [("auto", False, 16), ("auto", True, 0), (40, False, 40)])
def test_a_large_machine_starts_no_more_processes_than_for_predict(
    monkeypatch: pytest.MonkeyPatch, asked: str | int, endless: bool, workers: int
) -> None:
    told: dict[str, Any] = {}
    cropper = SimpleNamespace(remark="")
    monkeypatch.setattr(command, "available_cores", lambda: 96)
    monkeypatch.setattr(command.FaceSearch, "of", lambda config: SimpleNamespace(cropper=lambda spec: cropper))
    monkeypatch.setattr(command, "predict_stream", lambda *_, **options: told.update(options) or [])
    config, source = SimpleNamespace(workers=asked, batch_size=8), SimpleNamespace(is_endless=endless, count=lambda: 0)
    classifier = SimpleNamespace(network=SimpleNamespace(spec=None))
    command._fill(None, config, SimpleNamespace(**vars(source), items=list), classifier)  # type: ignore[arg-type]
    assert told["workers"] == workers
