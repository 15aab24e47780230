"""Many pictures at once: counted until the time is up, what is not counted said, and gone from the disk afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gender_lightning.demo import batch
from gender_lightning.demo.looking import MOST_FACES
from gender_lightning.inference.faces.crops import Cropper
from gender_lightning.inference.faces.face import Box, Face
from gender_lightning.inference.predictor import Predictor
from gender_lightning.synthetic.faces import synthetic_faces

page = pytest.importorskip("gender_lightning.demo.page", reason="needs the extra `demo`")


def upload(folder: Path) -> list[str]:
    folder.mkdir()
    for number, face in enumerate(synthetic_faces(3, seed=8)[0]):
        Image.fromarray(face).save(folder / f"face{number}.jpg")
    return [str(path) for path in sorted(folder.iterdir())]


def nothing(*_: Any, **__: Any) -> None:
    """A progress bar that nobody looks at."""


def test_what_the_time_does_not_reach_is_named_as_left_out(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 1.0, 2.0, 3.0])  # at the start, and before each picture
    monkeypatch.setattr(batch.time, "monotonic", lambda: next(clock))
    paths = upload(tmp_path / "uploads")
    shown, _ = page.show_batch(predictor, 2.5, paths, nothing)
    assert shown.count("<td>left out</td>") == 1
    assert "face2.jpg</td><td>left out</td><td></td><td>the 2.5 seconds of a batch were over" in shown
    assert "1 picture left out because the 2.5 seconds of a batch were over (face2.jpg)." in shown
    assert not any(Path(path).exists() for path in paths)


def test_too_many_are_refused_and_gone(predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "MOST_FILES", 2)
    paths = upload(tmp_path / "uploads")
    assert "These are 3 files, but at most 2 are accepted" in page.show_batch(predictor, 60, paths, nothing)[0]
    assert not any(Path(path).exists() for path in paths)


def test_uploads_are_gone_however_a_look_ends(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: Any, **__: Any) -> None:
        raise RuntimeError("the device is lost")

    monkeypatch.setattr(Predictor, "answers", crash)
    paths = upload(tmp_path / "uploads")
    with pytest.raises(RuntimeError):
        page.show_upload(predictor, paths[0])
    with pytest.raises(RuntimeError):
        page.show_batch(predictor, 60, paths[1:], nothing)
    assert not any(Path(path).exists() for path in paths)


class Finds:
    """Finds as many faces as a picture is bright."""

    def detect(self, picture: np.ndarray) -> list[Face]:
        return [Face(Box(0, 0, 50, 60), ((20.0, 20.0), (40.0, 20.0)), 1.0)] * int(picture.max())


def test_everything_that_is_not_counted_is_said_with_its_reason(predictor: Predictor, tmp_path: Path) -> None:
    for name, faces in {"crowd.png": MOST_FACES + 5, "two.png": 2, "none.png": 0}.items():
        Image.new("L", (300, 260), faces).save(tmp_path / name)
    for number in range(4):
        (tmp_path / f"text{number}.jpg").write_text("no picture")
    finding = Predictor(predictor.network, Cropper(predictor.framing, "detect", Finds()))
    rows = batch.look_at_many([str(path) for path in sorted(tmp_path.iterdir())], finding, 60)
    assert batch.counted(rows) == f"Counted: {MOST_FACES + 2} faces in 2 of 7 pictures."
    assert batch.not_counted(rows) == [
        "4 pictures unreadable (text0.jpg, text1.jpg, text2.jpg and 1 more)",
        "1 picture without a face (none.png)",
        f"5 faces beyond the {MOST_FACES} largest of a picture (crowd.png)",
    ]
