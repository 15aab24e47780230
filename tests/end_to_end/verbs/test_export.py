"""`export`: a file that agrees with its checkpoint, or a sentence and no file."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gender_lightning.exporting import checking

Command = Callable[..., None]
QUICK = ("seconds=0", "images=4", "batch_sizes=[1,3]")


@pytest.fixture
def run(train: Callable[..., Path]) -> Path:
    return train("run")


def _refused(command: Command, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as stop:
        command("export", *arguments)
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_the_runs_own_faces_then_drawn_ones(
    run: Path, command: Command, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command("export", f"checkpoint={run}", "format=torch_export", *QUICK)
    assert [path.name for path in (run / "exports").iterdir()] == ["timm-test_resnet.pt2"]
    assert "pictures of celeba test" in capsys.readouterr().out
    gone = f"data.root={tmp_path / 'gone'}"
    target = tmp_path / "new" / "face.pt2"
    command("export", f"checkpoint={run}", "format=torch_export", f"output={target}", gone, *QUICK)
    said = capsys.readouterr().out
    assert "Drawn faces are used instead" in said and "1e-4" not in said
    extra = {"gender_lightning.json": ""}
    torch.export.load(target, extra_files=extra)
    assert json.loads(extra["gender_lightning.json"])["backbone"] == "timm/test_resnet"


def test_what_does_not_agree_is_not_kept(
    run: Path, command: Command, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "TOLERANCE", -1.0)
    said = _refused(command, capsys, f"checkpoint={run}", "format=torch_export", *QUICK)
    assert "differ from the checkpoint" in said and not list((run / "exports").iterdir())


def test_mistakes_are_told_before_anything_is_written(
    run: Path, command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = f"checkpoint={run}"
    assert "is a folder" in _refused(command, capsys, here, "format=torch_export", f"output={tmp_path}")
    assert ".pt2" in _refused(command, capsys, here, "format=torch_export", "output=face.onnx")
    assert "quantize=int8 makes an ONNX" in _refused(command, capsys, here, "format=torch_export", "quantize=int8")
    assert "framing belongs to the checkpoint" in _refused(command, capsys, here, "data.image_size=99")
    shutil.copy(run / "checkpoints" / "best.ckpt", tmp_path / "moved.ckpt")
    moved = _refused(command, capsys, f"checkpoint={tmp_path / 'moved.ckpt'}", "format=torch_export")
    assert "is not inside a run directory" in moved
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert "pip install 'gender-lightning[export]'" in _refused(command, capsys, here)
    assert not (run / "exports").exists()


@pytest.mark.slow
def test_eight_bits_with_their_loss(
    run: Path, command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra `export`")
    pytest.importorskip("onnxscript", reason="needs the extra `export`")
    command("export", f"checkpoint={run}", "quantize=int8", "seconds=0.1", "images=4", "calibration_images=16")
    said = capsys.readouterr().out
    assert "points of accuracy" in said and "onnxruntime" in said and "PyTorch" in said
    session = onnxruntime.InferenceSession(run / "exports" / "timm-test_resnet-int8.onnx")
    metadata = session.get_modelmeta().custom_metadata_map
    assert '"images": 13' in metadata["accuracy"]
