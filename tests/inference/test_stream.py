"""Tables that survive a kill, and the job on one machine."""

from __future__ import annotations

import csv
import json
import math
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from gender_lightning.data.framing import Framing
from gender_lightning.errors import UserError
from gender_lightning.inference.faces.crops import Crop, Cropper
from gender_lightning.inference.faces.face import Box
from gender_lightning.inference.predictor import load
from gender_lightning.inference.stream.formats import read_rows
from gender_lightning.inference.stream.items import (
    COLUMNS,
    DetectedFace,
    Item,
    PredictedPicture,
    Row,
    SearchedPicture,
    predicted,
)
from gender_lightning.inference.stream.local import Classifier, predict_stream
from gender_lightning.inference.stream.lock import FileLock
from gender_lightning.inference.stream.parts import Output
from gender_lightning.inference.stream.sources import Source
from gender_lightning.machine.hardware import resolve_hardware
from gender_lightning.models.checkpoints.checkpoint import Answer, load_network

SETTINGS = {"checkpoint": "x", "faces": "auto"}


def rows_of(name: str, faces: int = 1, frame: int | None = None) -> PredictedPicture:
    seen = tuple(DetectedFace(Box(1, 2, 3, 4), "face", "") for _ in range(faces))
    item = Item(name, name, frame, None if frame is None else frame / 2)
    return predicted(SearchedPicture(item, seen), ["male"] * faces, [Answer(0.75)] * faces)


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_a_table_holds_what_was_written(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"out{ending}"
    output = Output(path, SETTINGS, resume=False)
    output.write([rows_of('a,b"c.jpg', 2), rows_of("film.mp4", 1, frame=3)])
    output.write([predicted(SearchedPicture(Item("ü.jpg", ""), status="unreadable", note="it is empty"), [], [])])
    assert not path.exists()
    output.finish()
    assert set(tmp_path.iterdir()) == {path, Path(f"{path}.settings.json")}
    rows = list(read_rows(path))
    assert [row["image"] for row in rows] == ['a,b"c.jpg', 'a,b"c.jpg', "film.mp4", "ü.jpg"]
    assert [row["face"] for row in rows] == [0, 1, 0, None]
    assert rows[2] == rows_of("film.mp4", 1, frame=3).rows[0]
    assert rows[3]["label"] is None and rows[3]["probability"] is None and rows[3]["note"] == "it is empty"
    reader = {".csv": pd.read_csv, ".jsonl": lambda it: pd.read_json(it, lines=True), ".parquet": pd.read_parquet}
    assert list(reader[ending](path).columns) == list(COLUMNS)


@pytest.mark.parametrize("ending", [".csv", ".CSV", ".jsonl", ".parquet"])
def test_a_job_goes_on_where_it_was_killed(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"out{ending}"
    first = Output(path, SETTINGS, resume=True)
    first.write([rows_of("a.jpg"), rows_of("twice.jpg", 3), rows_of("twice.jpg", 3)])
    first.flush()
    first.write([rows_of("lost.jpg")])  # killed before it was on the disk
    (first.folder / ".00000002.jsonl.99").write_text('{"image": "half')
    first.close()
    second = Output(path, SETTINGS, resume=True)
    done = second.done()
    assert done.pictures == 3
    taken = [done.take(Item(name, "")) for name in ("a.jpg", "twice.jpg", "lost.jpg", "twice.jpg", "twice.jpg")]
    assert taken == [True, True, False, True, False]
    second.write([rows_of("lost.jpg")])
    second.finish()
    assert [row["image"] for row in read_rows(path)] == ["a.jpg", *["twice.jpg"] * 6, "lost.jpg"]
    third = Output(path, SETTINGS, resume=True)  # with new pictures, when it was finished before
    assert third.done().pictures == 4
    third.write([rows_of("new.jpg")])
    third.finish()
    assert [row["image"] for row in read_rows(path)][-2:] == ["lost.jpg", "new.jpg"]


def test_a_kill_between_the_last_two_steps_doubles_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.csv"
    output = Output(path, SETTINGS, resume=False)
    output.write([rows_of("a.jpg")])
    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", lambda folder: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            output.finish()
    assert path.is_file() and output.folder.is_dir()
    output.close()
    again = Output(path, SETTINGS, resume=True)
    assert again.done().pictures == 1
    again.finish()
    assert len(list(read_rows(path))) == 1


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    Output(path, SETTINGS, resume=False).close()
    with pytest.raises(UserError, match="unfinished job.*resume=true"):
        Output(path, SETTINGS, resume=False)
    with pytest.raises(UserError, match="made with faces=auto, now none"):
        Output(path, {**SETTINGS, "faces": "none"}, resume=True)
    (tmp_path / "other.csv").write_text("mine")
    with pytest.raises(UserError, match="exists already"):
        Output(tmp_path / "other.csv", SETTINGS, resume=False)
    with pytest.raises(UserError, match="not a table of predictions"):
        Output(tmp_path / "other.csv", SETTINGS, resume=True)
    with pytest.raises(UserError, match=r"\.csv, \.parquet, \.jsonl"):
        Output(tmp_path / "out.xlsx", SETTINGS, resume=False)
    with pytest.raises(UserError, match="cannot be written"):
        Output(tmp_path / "other.csv" / "below.csv", SETTINGS, resume=False)


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_finished_table_goes_on_only_as_it_was_made(
    tmp_path: Path, ending: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / f"out{ending}"
    output = Output(path, {"checkpoint": "a" * 64, "faces": "auto"}, resume=False)
    output.write([rows_of("a.jpg")])
    output.finish()
    with pytest.raises(UserError, match=r"checkpoint=a{12}\.\.\., now b{12}\.\.\."):
        Output(path, {"checkpoint": "b" * 64, "faces": "auto"}, resume=True)
    again = Output(path, {"checkpoint": "a" * 64, "faces": "auto", "new_field": 1}, resume=True)
    again.finish()
    Path(f"{path}.settings.json").unlink()  # of an earlier version
    Output(path, {"checkpoint": "b" * 64, "faces": "auto"}, resume=True).close()
    assert "its settings are unknown" in caplog.text


def test_a_second_job_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gender_lightning.inference.stream.lock._PATIENCE", 0.2)
    path = tmp_path / "out.csv"
    first = Output(path, SETTINGS, resume=True)
    first.write([rows_of("a.jpg")])
    with pytest.raises(UserError, match="another process is writing this file"):
        Output(path, SETTINGS, resume=True)
    first.finish()
    assert not list(tmp_path.glob(".*"))
    second = Output(path, SETTINGS, resume=True)
    assert second.done().take(Item("a.jpg", ""))
    second.close()


def test_locks_taken_in_turn_by_many_exclude_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file goes away with each holder, which must let no two in."""
    inside, most = 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(10):
            lock = FileLock(tmp_path / "out.csv")
            inside += 1
            most = max(most, inside)
            time.sleep(0.001)
            inside -= 1
            lock.release()

    monkeypatch.setattr("gender_lightning.inference.stream.lock._PATIENCE", 60)
    monkeypatch.setattr("gender_lightning.inference.stream.lock._PAUSE", 0.001)
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_rows_of_what_is_done_are_found_in_any_order(tmp_path: Path) -> None:
    output = Output(tmp_path / "out.csv", SETTINGS, resume=False)
    output.write([rows_of("a.jpg", 2), rows_of("b.jpg"), rows_of("film.mp4", 1, frame=3)])
    output.flush()
    for name, frame, faces in (("a.jpg", None, 2), ("film.mp4", 3, 1), ("b.jpg", None, 1), ("a.jpg", None, 2)):
        assert output.rows_of(Item(name, name, frame)) == rows_of(name, faces, frame=frame).rows
    output.close()


def _rows(checkpoint: Path, items: Iterator[Item], **options: int) -> list[Row]:
    network = load_network(checkpoint)
    classifier = Classifier(network, resolve_hardware(accelerator="cpu", precision="32-true"), 0.0, 8)
    chunks = predict_stream(items, Cropper(Framing(32)), classifier, **options)  # type: ignore[arg-type]
    return [row for pictures in chunks for picture in pictures for row in picture.rows]


@pytest.mark.parametrize(("workers", "chunk"), [(0, 8), (2, 7)])
def test_the_stream_says_what_the_predictor_says(
    small_checkpoint: Path, pictures: Path, workers: int, chunk: int
) -> None:
    rows = _rows(small_checkpoint, Source((str(pictures),)).items(), workers=workers, chunk=chunk)
    assert [Path(row["image"]).name for row in rows] == [f"{number:02d}.jpg" for number in range(40)]
    predictor = load(small_checkpoint, device="cpu")
    for row in rows:
        if row["image"].endswith("07.jpg"):
            assert row["status"] == "unreadable" and row["label"] is None and "07.jpg does not decode" in row["note"]
            continue
        expected = predictor.predict(row["image"])
        assert row["label"] == expected.label and row["status"] == expected.status == "crop"
        assert row["probability"] == pytest.approx(expected.probability, abs=1e-5)
        assert (row["left"], row["top"], row["width"], row["height"]) == (0, 10, 89, 89)


class Fatal(Cropper):
    """Ends its process at the third picture, as the kernel does where memory is short."""

    def crops_of(self, pictures: Sequence[np.ndarray]) -> list[list[Crop]]:
        self.seen = getattr(self, "seen", 0) + len(pictures)
        if self.seen >= 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().crops_of(pictures)


def test_a_process_that_is_killed_ends_the_job(small_checkpoint: Path, pictures: Path) -> None:
    classifier = Classifier(
        load_network(small_checkpoint), resolve_hardware(accelerator="cpu", precision="32-true"), 0.0, 8
    )
    items = Source((str(pictures),)).items()
    stream = predict_stream(items, Fatal(Framing(32), "none"), classifier, workers=1, chunk=2)
    with pytest.raises(UserError, match="was killed.*resume=true"):
        list(stream)


def test_pictures_are_read_only_as_they_are_needed(small_checkpoint: Path, pictures: Path) -> None:
    asked = 0

    def endless() -> Iterator[Item]:
        nonlocal asked
        while True:
            asked += 1
            yield Item("a.jpg", str(pictures / "a" / "00.jpg"))

    classifier = Classifier(
        load_network(small_checkpoint), resolve_hardware(accelerator="cpu", precision="32-true"), 0.0, 8
    )
    stream = predict_stream(endless(), Cropper(Framing(32)), classifier, workers=2, chunk=5)
    for _ in range(4):
        assert len(next(stream)) == 5
    assert asked <= (4 + 2 * 2) * 5
    stream.close()


def test_a_crowd_goes_through_the_network_in_batches(small_checkpoint: Path) -> None:
    classifier = Classifier(
        load_network(small_checkpoint), resolve_hardware(accelerator="cpu", precision="32-true"), 0.6, 4
    )
    faces = torch.randint(0, 256, (11, 3, 32, 32), dtype=torch.uint8)
    with torch.inference_mode():
        expected = classifier.network.probability(faces).tolist()
    assert [answer.probability for answer in classifier.answers(faces)] == pytest.approx(expected, abs=1e-5)
    assert classifier.answers(faces[:0]) == []


def test_json_has_no_nan(tmp_path: Path) -> None:
    output = Output(tmp_path / "out.jsonl", SETTINGS, resume=False)
    output.write([predicted(SearchedPicture(Item("a.jpg", "")), [], [])])
    output.finish()
    (line,) = (tmp_path / "out.jsonl").read_text().splitlines()
    assert json.loads(line, parse_constant=lambda name: pytest.fail(name))["status"] == "no_face"
    assert not any(isinstance(value, float) and math.isnan(value) for value in json.loads(line).values())


def test_csv_opens_in_a_spreadsheet(tmp_path: Path) -> None:
    output = Output(tmp_path / "out.csv", SETTINGS, resume=False)
    output.write([rows_of("line\nbreak.jpg")])
    output.finish()
    with (tmp_path / "out.csv").open(newline="") as file:
        header, row = csv.reader(file)
    assert header == list(COLUMNS) and row[0] == "line\nbreak.jpg"


def test_no_name_of_a_file_is_a_formula(tmp_path: Path) -> None:
    strange = ["=1+1.jpg", "+a.jpg", "-a.jpg", "@a.jpg", "'=a.jpg", "a=b.jpg"]
    output = Output(tmp_path / "out.csv", SETTINGS, resume=False)
    output.write([rows_of(name) for name in strange])
    output.finish()
    with (tmp_path / "out.csv").open(newline="") as file:
        written = [row["image"] for row in csv.DictReader(file)]
    assert written == ["'=1+1.jpg", "'+a.jpg", "'-a.jpg", "'@a.jpg", "''=a.jpg", "a=b.jpg"]
    assert [row["image"] for row in read_rows(tmp_path / "out.csv")] == strange


def test_every_kind_of_file_is_read_and_said(small_checkpoint: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    small = Image.fromarray(rng.integers(40, 220, (6, 5, 3), dtype=np.uint8)).resize((89, 109))
    exif = Image.Exif()
    exif[0x0112] = 6
    small.save(tmp_path / "plain.png")
    small.rotate(90, expand=True).save(tmp_path / "turned.png", exif=exif)
    small.convert("L").save(tmp_path / "grey.jpg")
    small.convert("CMYK").save(tmp_path / "cmyk.jpg")
    small.convert("RGBA").save(tmp_path / "alpha.png")
    Image.fromarray(np.asarray(small.convert("L")).astype(np.uint16) * 257).save(tmp_path / "deep.png")
    (tmp_path / "empty.jpg").touch()
    Image.new("RGB", (1, 1), "white").save(tmp_path / "point.png")
    rows = {
        Path(row["image"]).name: row
        for row in _rows(small_checkpoint, Source((str(tmp_path),)).items(), workers=0, chunk=4)
    }
    without = "no face found in it, taken for a face crop"
    notes = {name: row["note"] for name, row in rows.items() if row["status"] != "unreadable"}
    assert all(note.endswith(without) for note in notes.values())
    assert {name: note.removesuffix(without).removesuffix("; ") for name, note in notes.items()} == {
        "alpha.png": "transparency over white", "cmyk.jpg": "CMYK", "deep.png": "16-bit", "grey.jpg": "grey",
        "plain.png": "", "turned.png": "turned as EXIF says",
    }  # fmt: skip
    plain = rows["plain.png"]["probability"]
    assert rows["turned.png"]["probability"] == pytest.approx(plain, abs=1e-6)
    assert rows["alpha.png"]["probability"] == pytest.approx(plain, abs=1e-6)
    assert rows["empty.jpg"]["status"] == rows["point.png"]["status"] == "unreadable"
    assert rows["point.png"]["note"] == "it has only 1 x 1 pixels"
