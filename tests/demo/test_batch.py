"""Many pictures at once: counted until the time is up, and gone from the disk afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from gender_lightning.inference.predictor import load
from gender_lightning.models.backbones import create_backbone
from gender_lightning.models.checkpoint import ModelSpec, save_weights
from gender_lightning.synthetic.faces import synthetic_faces

page = pytest.importorskip("gender_lightning.demo.page", reason="needs the extra `demo`")


@pytest.fixture
def predictor(tmp_path: Path) -> Any:
    torch.manual_seed(1)
    net = create_backbone("timm/test_resnet", image_size=32)
    save_weights(tmp_path / "a.ckpt", net.state_dict(), ModelSpec("timm/test_resnet", 32))
    return load(tmp_path / "a.ckpt", faces="none")


def upload(folder: Path) -> list[str]:
    folder.mkdir()
    for number, face in enumerate(synthetic_faces(3, seed=8)[0]):
        Image.fromarray(face).save(folder / f"face{number}.jpg")
    return [str(path) for path in sorted(folder.iterdir())]


def nothing(*_: Any, **__: Any) -> None:
    """A progress bar that nobody looks at."""


def test_what_the_time_does_not_reach_is_named_as_left_out(
    predictor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 1.0, 2.0, 3.0])  # at the start, and before each picture
    monkeypatch.setattr(page.time, "monotonic", lambda: next(clock))
    paths = upload(tmp_path / "uploads")
    shown, _ = page.show_batch(predictor, 2.5, paths, nothing)
    assert shown.count("<td>left out</td>") == 1
    assert "face2.jpg</td><td>left out</td><td></td><td>the 2.5 seconds of a batch were over" in shown
    assert not any(Path(path).exists() for path in paths)


def test_too_many_are_refused_and_gone(predictor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "MOST_FILES", 2)
    paths = upload(tmp_path / "uploads")
    assert "These are 3 files, and 2 are the most" in page.show_batch(predictor, 60, paths, nothing)[0]
    assert not any(Path(path).exists() for path in paths)
