"""`predict`: what a user types, and what lies there afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from gender_lightning.__main__ import main
from gender_lightning.commands.predict import predict
from gender_lightning.config import PredictConfig, parse_config
from gender_lightning.data.framing import Framing
from gender_lightning.errors import UserError, UserErrors
from gender_lightning.models.backbones import create_backbone
from gender_lightning.models.checkpoints.checkpoint import ModelSpec, save_weights
from gender_lightning.overrides import compose


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(2)
    path = tmp_path_factory.mktemp("predict") / "best.ckpt"
    net = create_backbone("timm/test_resnet", image_size=32)
    save_weights(path, net.state_dict(), ModelSpec("timm/test_resnet", Framing(32)))
    return path


def draw(folder: Path, number: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(5)
    for place in range(number):
        small = rng.integers(40, 220, (6, 5, 3), dtype=np.uint8)
        Image.fromarray(small).resize((89, 109)).save(folder / f"{place:04d}.jpg", quality=90)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with twelve pictures, one of them broken."""
    monkeypatch.chdir(tmp_path)
    draw(tmp_path / "photos", 12)
    (tmp_path / "photos" / "0003.jpg").write_text("no picture")
    return tmp_path


def run(checkpoint: Path, *overrides: str) -> dict[str, int]:
    typed = [f"checkpoint={checkpoint}", "workers=0", "accelerator=cpu", *overrides]
    return dict(predict(parse_config(PredictConfig, compose("predict", typed))))


def test_from_the_command_line(
    checkpoint: Path, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        sys, "argv", ["gender-lightning", "predict", f"checkpoint={checkpoint}", "input=photos/*.jpg", "workers=0"]
    )
    main()
    said = capsys.readouterr().out
    assert "12 pictures: " in said and "1 unreadable" in said and "written to predictions.csv" in said
    table = pd.read_csv("predictions.csv")
    assert table["image"].tolist() == [f"photos/{number:04d}.jpg" for number in range(12)]
    assert table["status"].tolist() == ["crop"] * 3 + ["unreadable"] + ["crop"] * 8
    assert set(table["label"].dropna()) <= {"female", "male"} and table["probability"].dropna().between(0, 1).all()


def test_several_inputs_and_a_list_and_names_from_a_pipe(
    checkpoint: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "list.txt").write_text("photos/0001.jpg\nphotos/gone.jpg\n")
    counts = run(checkpoint, "input=[photos/0000.jpg,list.txt]", "output=a.jsonl")
    assert counts["pictures"] == 3 and counts["unreadable"] == 1
    assert "No such file" in pd.read_json("a.jsonl", lines=True)["note"].iloc[2]
    with (here / "list.txt").open() as lines:
        monkeypatch.setattr("sys.stdin", lines)
        assert run(checkpoint, "input=-", "output=b.parquet")["pictures"] == 2


def test_uncertain_below_a_confidence(checkpoint: Path, here: Path) -> None:
    run(checkpoint, "input=photos")
    probability = pd.read_csv("predictions.csv")["probability"]
    confidence = np.maximum(probability, 1 - probability)
    least = float(confidence.dropna().sort_values().iloc[5])
    counts = run(checkpoint, "input=photos", "output=sure.csv", f"min_confidence={least}")
    assert counts["uncertain"] == 5
    labels = pd.read_csv("sure.csv")["label"]
    assert (labels[confidence < least] == "uncertain").all() and (labels[confidence >= least] != "uncertain").all()


def test_resuming_adds_what_is_new_and_nothing_twice(checkpoint: Path, here: Path) -> None:
    run(checkpoint, "input=photos")
    with pytest.raises(UserError, match="resume=true"):
        run(checkpoint, "input=photos")
    draw(here / "photos" / "more", 3)
    assert run(checkpoint, "input=photos", "resume=true")["pictures"] == 3
    table = pd.read_csv("predictions.csv")
    assert len(table) == table["image"].nunique() == 15


def test_an_error_midway_keeps_what_is_done(
    checkpoint: Path, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from gender_lightning.inference.stream.local import Classifier

    whole = Classifier.__call__
    calls: list[int] = []

    def third_time_unlucky(self: Classifier, prepared: object) -> object:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return whole(self, prepared)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Classifier, "__call__", third_time_unlucky)
        with pytest.raises(KeyboardInterrupt):
            run(checkpoint, "input=photos", "batch_size=4")
    assert not (here / "predictions.csv").exists() and "resume=true continues" in capsys.readouterr().out
    assert run(checkpoint, "input=photos", "batch_size=4", "resume=true")["pictures"] == 4
    assert pd.read_csv("predictions.csv")["image"].nunique() == 12


def test_annotated_pictures(checkpoint: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gender_lightning.models.checkpoints import checkpoint as module

    built: list[str] = []
    monkeypatch.setattr(
        module, "create_backbone", lambda name, **rest: (built.append(name), create_backbone(name, **rest))[1]
    )
    run(checkpoint, "input=photos", "annotate=true")
    assert built == ["timm/test_resnet"], "once, for the rows and the drawings"
    drawn = sorted((here / "predictions_annotated" / "photos").iterdir())
    assert [file.name for file in drawn] == [f"{number:04d}.jpg" for number in range(12) if number != 3]
    with Image.open(drawn[0]) as image, Image.open(here / "photos" / drawn[0].name) as before:
        assert image.size == before.size
        assert (np.abs(np.asarray(image).astype(int) - np.asarray(before)) > 40).any(axis=2).mean() > 0.02


@pytest.fixture
def film(here: Path) -> Path:
    """Ten frames, five a second."""
    path = here / "film.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 5.0, (178, 218))
    for number in range(10):
        writer.write(np.full((218, 178, 3), number * 20, np.uint8))
    writer.release()
    return path


def test_a_video_gives_rows_by_frame_and_a_video(checkpoint: Path, here: Path, film: Path) -> None:
    counts = run(checkpoint, "input=film.mp4", "frame_step=3", "annotate=true")
    table = pd.read_csv("predictions.csv")
    assert counts["pictures"] == 4 and table["frame"].tolist() == [0, 3, 6, 9]
    assert table["second"].tolist() == pytest.approx([0, 0.6, 1.2, 1.8], abs=0.01)
    assert table["probability"].nunique() > 1
    drawn = here / "predictions_annotated" / "film.mp4"
    capture = cv2.VideoCapture(str(drawn))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(5 / 3, abs=0.01)
    assert sum(1 for _ in iter(lambda: capture.read()[0], False)) == 4
    assert not list((here / "predictions_annotated").glob(".*"))


class Camera:
    """A camera of five frames, after which its user presses Ctrl-C; another number than 0 is not plugged in."""

    def __init__(self, number: int) -> None:
        self.number, self.frames = number, 0

    def isOpened(self) -> bool:  # noqa: N802
        return self.number == 0

    def grab(self) -> bool:
        if self.frames == 5:
            raise KeyboardInterrupt
        self.frames += 1
        time.sleep(0.02)
        return True

    def retrieve(self) -> tuple[bool, np.ndarray]:
        return True, np.full((218, 178, 3), self.frames * 40, np.uint8)

    def release(self) -> None:
        self.frames = -1


def test_videos_that_are_broken_are_said_and_passed_by(
    checkpoint: Path, here: Path, film: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "bad.mp4").write_text("no video")
    (here / "list.txt").write_text("bad.mp4\nfilm.mp4\nphotos/0000.jpg\nnone.mp4\n")
    for resume in ("false", "true"):
        counts = run(checkpoint, "input=list.txt", f"resume={resume}", "faces=none")
        assert counts.get("pictures", 0) == (13 if resume == "false" else 0)
    table = pd.read_csv("predictions.csv")
    assert table["image"].tolist() == ["bad.mp4", *["film.mp4"] * 10, "photos/0000.jpg", "none.mp4"]
    notes = table.set_index("image")["note"]
    assert "not a video that OpenCV can read" in notes["bad.mp4"] and "no such file" in notes["none.mp4"]
    assert "left out" not in capsys.readouterr().out


def test_frames_that_are_missing_are_counted(checkpoint: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(1)
    writer = cv2.VideoWriter("cut.avi", cv2.VideoWriter.fourcc(*"MJPG"), 5.0, (96, 96))
    for _ in range(20):
        writer.write(rng.integers(0, 255, (96, 96, 3), dtype=np.uint8))
    writer.release()
    whole = (here / "cut.avi").read_bytes()
    (here / "cut.avi").write_bytes(whole[: len(whole) // 4])
    found = run(checkpoint, "input=cut.avi", "faces=none")["pictures"]
    assert 2 <= found < 10
    assert f"left out: {20 - found} frames missing" in capsys.readouterr().out


def test_nothing_that_can_be_read_is_an_error(checkpoint: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "photos" / "notes.doc").touch()
    counts = run(checkpoint, "input=photos")
    said = capsys.readouterr().out
    assert "left out: 1 .doc" in said
    unseen = pd.read_csv("predictions.csv")["note"].str.endswith("taken for a face crop").sum()
    assert unseen > 0 and f"In {unseen} of the pictures no face was found" in " ".join(said.split())
    assert set(counts) <= {"pictures", "female", "male", "uncertain", "unreadable"}
    with pytest.raises(UserError, match=r"None of the pictures could be read\. See the column note"):
        run(checkpoint, "input=photos/0003.jpg", "output=b.csv")
    assert pd.read_csv("b.csv")["status"].tolist() == ["unreadable"]
    (here / "films").mkdir()
    (here / "films" / "a.mp4").touch()
    with pytest.raises(UserError, match=r"no picture in it \(left out: 1 \.mp4"):
        run(checkpoint, "input=films", "output=c.csv")


def test_patterns_do_not_decode_videos_to_count_them(here: Path, film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gender_lightning.inference.stream import sources

    monkeypatch.setattr(sources, "video_frames", lambda *_: pytest.fail("it was opened"))
    assert sources.Source((str(here / "*.mp4"),)).count() is None


def test_an_annotated_video_is_whole_after_a_resume(
    checkpoint: Path, here: Path, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gender_lightning.inference.stream.local import Classifier

    whole = Classifier.__call__
    calls: list[int] = []

    def second_time_unlucky(self: Classifier, prepared: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return whole(self, prepared)  # type: ignore[arg-type]

    typed = ["input=[photos,film.mp4]", "annotate=true", "faces=none", "batch_size=16"]
    with monkeypatch.context() as patch:
        patch.setattr(Classifier, "__call__", second_time_unlucky)
        with pytest.raises(KeyboardInterrupt):
            run(checkpoint, *typed)
    drawn = here / "predictions_annotated"
    (drawn / "photos" / "0001.jpg").unlink()  # killed before it was drawn
    assert not (drawn / "film.mp4").exists()
    assert run(checkpoint, *typed, "resume=true")["pictures"] == 6
    capture = cv2.VideoCapture(str(drawn / "film.mp4"))
    frames = [frame for read, frame in iter(capture.read, (False, None)) if read]
    assert len(frames) == 10 and (drawn / "photos" / "0001.jpg").is_file()
    assert len(pd.read_csv("predictions.csv")) == 22
    shades = [float(frame[200, 90].mean()) for frame in frames]
    assert np.all(np.diff(shades) > 10)  # in order, the earlier job's too


def test_a_camera_is_read_until_ctrl_c(checkpoint: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    counts = run(checkpoint, "input=camera", "frame_step=2", "faces=none")
    table = pd.read_csv("predictions.csv")
    assert counts["pictures"] == 3 and table["frame"].tolist() == [0, 2, 4]
    assert table["image"].unique().tolist() == ["camera:0"] and table["probability"].nunique() == 3
    assert table["second"].is_monotonic_increasing and 0.05 < table["second"].iloc[-1] < 60
    with pytest.raises(UserError, match="no such camera"):
        run(checkpoint, "input=camera:1", "output=other.csv")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["input=photos/none/*.jpg"], "matches nothing"),
        (["input=empty"], "there is no picture in it"),
        (["input=photos", "output=x.xlsx"], "its extension names no known format"),
        (["input=photos", "target_accuracy=0.99"], "is not inside a run directory"),
        (["input=photos", "face_model=photos/0000.jpg"], "SHA-256"),
    ],
)
def test_mistakes_leave_nothing_behind(checkpoint: Path, here: Path, typed: list[str], said: str) -> None:
    (here / "empty").mkdir()
    before = set(here.iterdir())
    with pytest.raises(UserError, match=said):
        run(checkpoint, *typed)
    assert {path for path in here.iterdir() if path.name != "predictions.csv.parts"} == before


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["min_confidence=0.9", "target_accuracy=0.9"], "exclude each other"),
        (["faces=none", "min_face=40"], "no effect with faces=none"),
        (["faces=tight", "min_face=40"], "no effect with faces=tight"),
        (["engine=ray", "annotate=true"], "annotate=true needs engine=local"),
        (["faces=some"], "faces=some"),
        (["min_confidence=2"], "min_confidence=2"),
    ],
)
def test_contradictions_are_found_before_anything_is_read(typed: list[str], said: str) -> None:
    with pytest.raises(UserErrors, match=said):
        parse_config(PredictConfig, compose("predict", ["checkpoint=x", "input=y", *typed]))


@pytest.mark.slow
def test_a_kill_and_a_resume_end_in_every_row_once(checkpoint: Path, here: Path) -> None:
    draw(here / "many", 400)
    command = [sys.executable, "-m", "gender_lightning", "predict", f"checkpoint={checkpoint}", "input=many"]
    command += ["output=out.parquet", "batch_size=8", "workers=1", "resume=true"]
    parts = here / "out.parquet.parts"
    job = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    while job.poll() is None and not list(parts.glob("0*.jsonl")):
        time.sleep(0.02)
    if job.poll() is None:
        os.killpg(job.pid, signal.SIGKILL)
    job.wait()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    table = pd.read_parquet(here / "out.parquet")
    assert len(table) == table["image"].nunique() == 400 and not parts.exists()
