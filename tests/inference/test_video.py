"""Frames of videos, and what a worker of a cluster makes of them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from gender_lightning.data.framing import Framing
from gender_lightning.errors import UserError
from gender_lightning.inference.checkpoints import CheckpointSet
from gender_lightning.inference.faces.crops import Cropper
from gender_lightning.inference.stream.local import Classifier, predict_stream
from gender_lightning.inference.stream.ray_engine import RayJob, RayWorker, blocks
from gender_lightning.inference.stream.sources import Source
from gender_lightning.inference.stream.video import FrameReader, video_frames
from gender_lightning.machine.hardware import resolve_hardware
from gender_lightning.models.checkpoints.checkpoint import load_network


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Twenty frames that differ in pattern."""
    path = tmp_path / "film.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 5.0, (96, 120))
    rng = np.random.default_rng(2)
    for _ in range(20):
        writer.write(cv2.resize(rng.integers(0, 256, (6, 5, 3), dtype=np.uint8), (96, 120)))
    writer.release()
    return path


def test_single_frames_are_those_of_the_whole_video(film: Path, tmp_path: Path) -> None:
    pixels = [item.pixels for item in video_frames(str(film))]
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(film.read_bytes())
    reader = FrameReader()
    for path, number in ((film, 3), (film, 4), (film, 19), (film, 4), (copy, 7), (film, 0)):
        assert np.array_equal(reader.read(str(path), number), pixels[number])
    with pytest.raises(UserError, match=r"Frame 20 of .*film\.mp4 does not decode"):
        reader.read(str(film), 20)
    with pytest.raises(UserError, match=r"Frame 0 of .*gone\.mp4"):
        reader.read(str(tmp_path / "gone.mp4"), 0)
    reader.close()


def test_cuts_are_found_and_a_moving_camera_is_none(tmp_path: Path) -> None:
    path, rng = tmp_path / "shots.mp4", np.random.default_rng(2)
    scenes = [cv2.resize(rng.integers(0, 256, (4, 8, 3), dtype=np.uint8), (480, 240)) for _ in range(3)]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25.0, (320, 240))
    for scene in scenes:
        for frame in range(20):  # the camera pans by 3 pixels a frame
            writer.write(np.ascontiguousarray(scene[:, 3 * frame : 3 * frame + 320]))
    writer.release()
    assert [item.frame for item in video_frames(str(path)) if item.cut] == [20, 40]
    assert [item.frame for item in video_frames(str(path), step=2) if item.cut] == [20, 40]


@pytest.mark.parametrize("step", [1, 3])
def test_a_worker_of_a_cluster_says_of_a_video_what_one_machine_says(
    film: Path, pictures: Path, small_checkpoint: Path, tmp_path: Path, step: int
) -> None:
    pytest.importorskip("pyarrow")
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    source = Source((str(tmp_path / "*.mp4"), str(pictures / "a")), step)
    cropper, hardware = Cropper(Framing(32), "none"), resolve_hardware(accelerator="cpu", precision="32-true")
    classifier = Classifier(load_network(small_checkpoint), hardware, 0.6, 8)
    chunks = predict_stream(source.items(), cropper, classifier, workers=0, chunk=8)
    expected = [row for chunk in chunks for picture in chunk for row in picture.rows]
    worker = RayWorker(RayJob(CheckpointSet.of(small_checkpoint), cropper, hardware, 0.6, 8))
    rows = [row for block in blocks(source.items(), 6) for row in worker(block).to_pylist()]
    assert len(rows) == 1 + 20 // step + bool(20 % step) + 20
    assert {row["status"] for row in rows if row["frame"] is not None} == {"crop"}
    for row, other in zip(rows, expected, strict=True):
        assert row["probability"] == (None if other["probability"] is None else pytest.approx(other["probability"]))
        assert {**row, "probability": 0} == {**other, "probability": 0}
