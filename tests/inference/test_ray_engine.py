"""The job over Ray Data, on a real cluster of two workers on this machine."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest

from gender_lightning.data.framing import Framing
from gender_lightning.errors import UserError
from gender_lightning.inference.checkpoints import CheckpointSet
from gender_lightning.inference.faces.crops import Cropper
from gender_lightning.inference.stream.items import Item, Row
from gender_lightning.inference.stream.local import Classifier, predict_stream
from gender_lightning.inference.stream.ray_engine import RayJob, RayWorker, check_installed
from gender_lightning.inference.stream.sources import Source
from gender_lightning.machine.hardware import resolve_hardware
from gender_lightning.models.checkpoints.checkpoint import load_network

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
HARDWARE = resolve_hardware(accelerator="cpu", precision="32-true")


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """Two nodes with a core each."""
    module = pytest.importorskip("ray", reason="Ray is not installed: pip install 'gender-lightning[ray]'")
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    before = signal.getsignal(signal.SIGTERM)  # Ray puts a handler of its own there
    memory = 80 << 20
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": memory})
    cluster.add_node(num_cpus=1, object_store_memory=memory)
    module.init(address=cluster.address, log_to_driver=False)
    module.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield module
    module.shutdown()
    cluster.shutdown()
    signal.signal(signal.SIGTERM, before)


class Recorded(RayWorker):
    """Leaves a file with its process number for each time that it has loaded the model."""

    def __init__(self, job: RayJob) -> None:
        super().__init__(job)
        (job.checkpoints.files[0].parent / f"loaded-{os.getpid()}").touch(exist_ok=False)


@dataclass(frozen=True)
class RecordedJob(RayJob):
    worker: ClassVar[type[RayWorker]] = Recorded


def key(row: Row) -> tuple[str, int, int]:
    return row["image"], row["frame"] or 0, row["face"] or 0


def items(pictures: Path) -> list[Item]:
    """Every picture five times over, so that a worker has chunks left when it dies, and a video."""
    found = list(Source((str(pictures),)).items())
    again = [Item(f"{turn}/{Path(item.path).name}", item.path) for turn in range(5) for item in found]
    film = pictures.parent / "film.mp4"
    if not film.exists():
        writer = cv2.VideoWriter(str(film), cv2.VideoWriter.fourcc(*"mp4v"), 5.0, (96, 120))
        for level in range(12):
            writer.write(np.full((120, 96, 3), 20 * level, np.uint8))
        writer.release()
    return again + list(Source((str(film),)).items())


@pytest.fixture
def job(small_checkpoint: Path, tmp_path: Path) -> RecordedJob:
    checkpoint = tmp_path / "best.ckpt"
    checkpoint.write_bytes(small_checkpoint.read_bytes())
    return RecordedJob(CheckpointSet.of(checkpoint), Cropper(Framing(32)), HARDWARE, 0.6, 8, chunk=10)


@pytest.fixture
def expected(small_checkpoint: Path, pictures: Path) -> list[Row]:
    classifier = Classifier(load_network(small_checkpoint), HARDWARE, 0.6, 8)
    chunks = predict_stream(items(pictures), Cropper(Framing(32)), classifier, workers=0, chunk=8)
    return sorted((row for chunk in chunks for picture in chunk for row in picture.rows), key=key)


def compare(rows: list[Row], expected: list[Row]) -> None:
    rows = sorted(rows, key=key)
    assert [key(row) for row in rows] == [key(row) for row in expected]
    for row, other in zip(rows, expected, strict=True):
        assert {**row, "probability": 0} == {**other, "probability": 0}
        if other["probability"] is not None:
            assert row["probability"] == pytest.approx(other["probability"], abs=1e-5)


@pytest.mark.nightly  # the test below says it too, with one worker killed
def test_the_rows_are_those_of_one_machine(ray: Any, job: RecordedJob, pictures: Path, expected: list[Row]) -> None:
    chunks = list(job.run(items(pictures), None, 2))
    assert sum(map(len, chunks)) == 212
    compare([row for chunk in chunks for picture in chunk for row in picture.rows], expected)
    assert len(list(job.checkpoints.files[0].parent.glob("loaded-*"))) == 2  # once a worker, not once a chunk


def test_a_worker_that_is_killed_midway_loses_and_doubles_nothing(
    ray: Any, job: RecordedJob, pictures: Path, expected: list[Row]
) -> None:
    rows: list[Row] = []
    killed = False
    for chunk in job.run(items(pictures), None, 2):
        rows += [row for picture in chunk for row in picture.rows]
        if not killed:
            victim = next(job.checkpoints.files[0].parent.glob("loaded-*"))
            os.kill(int(victim.name.partition("-")[2]), signal.SIGKILL)
            killed = True
    compare(rows, expected)
    # once a worker, not once a chunk: two of them, and the one that takes the victim's place
    assert killed and 2 <= len(list(job.checkpoints.files[0].parent.glob("loaded-*"))) <= 4


def test_more_workers_than_there_is_room_for_are_refused(ray: Any, job: RecordedJob, pictures: Path) -> None:
    with pytest.raises(UserError, match=r"ray.workers=3.*has 2"):
        list(job.run(items(pictures), None, 3))
    assert list(job.run([], None, "auto")) == []


def test_without_ray_the_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'gender-lightning\[ray\]'"):
        check_installed()
