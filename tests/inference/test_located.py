"""The faces of a data set are found once, before its pictures are used, in processes or in this one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gender_lightning.data.framing import Framing
from gender_lightning.data.sources.annotations import Index
from gender_lightning.data.sources.images import FolderStore
from gender_lightning.inference.faces.crops import Cropper, FaceSearch
from gender_lightning.inference.faces.face import Box, Face
from gender_lightning.inference.faces.located import Located, finder_of
from gender_lightning.models.checkpoints.checkpoint import ModelSpec

SHOWN = np.arange(80) % 3 > 0  # the pictures with a face


class Bright:
    """A detector that finds one face in a bright picture and none in a dark one."""

    def detect(self, picture: np.ndarray) -> list[Face]:
        return [Face(Box(4, 4, 8, 8), ((5, 6), (9, 6)), 1.0)] if picture.mean() > 100 else []


def test_tight_crops_need_no_detector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load_detector() -> None:
        raise AssertionError

    monkeypatch.setattr("gender_lightning.inference.faces.crops.load_detector", load_detector)
    Image.new("RGB", (40, 50), (200, 100, 50)).save(tmp_path / "a.png")
    index = Index(np.array(["a.png"], dtype="S"), *np.zeros((2, 1), np.int8), np.zeros((1, 0), dtype=bool), ())
    finder = finder_of(ModelSpec("resnet18", Framing(8)), FaceSearch("tight"))
    assert finder is not None and not finder.find(index, FolderStore(tmp_path))
    choice = finder.choices[b"a.png"]
    assert choice.face is not None and choice.face.box == Box(0, 0, 40, 50)


@pytest.mark.parametrize("most", [10, 80], ids=["in this process", "in worker processes"])
def test_every_picture_is_searched(tmp_path: Path, most: int) -> None:
    names = [f"{number:02d}.png" for number in range(most)]
    for name, shown in zip(names, SHOWN, strict=False):
        Image.new("RGB", (16, 16), (200, 200, 200) if shown else (9, 9, 9)).save(tmp_path / name)
    zeros = np.zeros(most, dtype=np.int8)
    index = Index(np.array(names, dtype="S"), zeros, zeros, np.zeros((most, 0), dtype=bool), ())
    located = Located(Cropper(Framing(8), "detect", Bright()))
    left_out = located.find(index, FolderStore(tmp_path))
    assert [skipped.image_id for skipped in left_out] == [
        name for name, shown in zip(names, SHOWN, strict=False) if not shown
    ]
    assert sorted(located.choices) == sorted(name.encode() for name, shown in zip(names, SHOWN, strict=False) if shown)
