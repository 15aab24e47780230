"""Images that do not decode: told in one sentence, or left out and listed once."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from gender_lightning.data.datamodule import FaceDataModule
from gender_lightning.errors import UserError


@pytest.fixture
def broken(faces: Path, tmp_path: Path) -> Callable[..., Path]:
    """The drawn faces with some of them cut short, empty or gone to text."""

    def make(*numbers: int) -> Path:
        root = tmp_path / "broken"
        shutil.copytree(faces, root)
        for place, number in enumerate(numbers):
            file = root / "img_align_celeba" / f"{number:06d}.jpg"
            file.write_bytes((file.read_bytes()[:500], b"", b"<html>")[place % 3])
        return root

    return make


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("workers", [0, 2])
def test_raise_names_the_image_in_one_sentence(
    train: Callable[..., Path], broken: Callable[..., Path], capsys: pytest.CaptureFixture[str], workers: int
) -> None:
    root = broken(5)
    with pytest.raises(SystemExit) as stop:
        train("raises", f"data.root={root}", f"data.workers={workers}")
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert "000005.jpg does not decode" in said and "Traceback" not in said and "worker process" not in said


def test_more_than_one_percent_is_refused(
    train: Callable[..., Path], broken: Callable[..., Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    root = broken(3)  # one of 61
    with pytest.raises(SystemExit) as stop:
        train("refused", f"data.root={root}", "data.on_error=skip")
    assert stop.value.code == 2
    assert "1 of 61 images do not decode, more than the 1%" in capsys.readouterr().err
    assert not (tmp_path / "refused").exists()


def test_skipped_images_are_listed_once_and_in_no_table(
    train: Callable[..., Path],
    broken: Callable[..., Path],
    command: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr("gender_lightning.data.rows.skipping.MOST", 0.1)
    root = broken(3, 40, 55)  # of train, valid and test
    run = train("skips", f"data.root={root}", "data.on_error=skip", "data.workers=2", "trainer.max_epochs=2")
    rows = rows_of(run / "skipped.csv")
    assert [row["image_id"] for row in rows] == ["000003.jpg", "000040.jpg", "000055.jpg"]
    assert [row["split"] for row in rows] == ["train", "valid", "test"]
    assert all("does not decode" in row["reason"] for row in rows)
    for split, count in (("valid", 14), ("test", 12)):
        table = pd.read_parquet(run / "predictions" / f"{split}.parquet")
        assert len(table) == table["image_id"].nunique() == count
        assert not set(table["image_id"]) & {row["image_id"] for row in rows}
    output = tmp_path / "evaluated"
    command("evaluate", f"checkpoint={run}", "split=test", "accelerator=cpu", f"output={output}")
    assert [row["image_id"] for row in rows_of(output / "skipped.csv")] == ["000055.jpg"]
    assert len(pd.read_parquet(output / "predictions.parquet")) == 12


def test_a_resumed_run_leaves_out_the_same_images(faces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gender_lightning.config import CelebaData
    from gender_lightning.data.rows.skipping import Skipped
    from gender_lightning.overrides import compose

    values = compose("train", ["data=celeba", f"data.root={faces}", "data.on_error=skip", "data.image_size=32"])["data"]
    monkeypatch.setattr("gender_lightning.data.rows.skipping.MOST", 0.1)
    data = FaceDataModule(CelebaData.model_validate(values))
    data.skip_as_before([Skipped("000001.jpg", "train", "it did not decode then")])
    data.setup()
    assert data.index("train").image_ids[0] == b"000002.jpg" and len(data.index("train")) == 32


def test_a_workers_error_is_one_sentence() -> None:
    text = "Caught UserError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n  File x\n"
    error = UserError(f"{text}gender_lightning.errors.UserError: a.jpg does not decode: cut. Replace it.\n")
    assert str(error) == "a.jpg does not decode: cut. Replace it."


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "data.image_size=1e999", "optimizer.lr=nan"],
        ["train", "resume={folder}"],
        ["train", "data=folder", "data.root={folder}/nothing", "logger=csv"],
        ["train", "data=celeba", "data.root={folder}/labels", "logger=csv"],
        ["train", "data=celeba", "data.root={folder}/zip", "logger=csv"],
        ["train", "model.pretrained={folder}/evil.ckpt", "data=celeba", "data.root={faces}", "logger=csv"],
        ["evaluate", "checkpoint={folder}/evil.ckpt", "data=celeba", "data.root={faces}", "output={folder}/out"],
        ["evaluate", "checkpoint={folder}/received", "output={folder}/out"],
        ["data", "verify", "data.root={folder}/labels"],
        ["data", "verify", "data.root={folder}/broken"],
    ],
)
def test_it_ends_with_two_and_a_sentence(
    arguments: list[str],
    faces: Path,
    tmp_path: Path,
    command: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import zipfile

    (tmp_path / "evil.ckpt").write_bytes(b"cos\nsystem\n(S'touch pwned'\ntR.")
    for name in ("labels", "zip", "broken"):
        (tmp_path / name).mkdir()
    for file in ("list_attr_celeba.txt", "list_eval_partition.txt"):
        (tmp_path / "labels" / file).write_bytes(b"\xff\xfe1\0\n\0")
        shutil.copy(faces / file, tmp_path / "zip")
        shutil.copy(faces / file, tmp_path / "broken")
    with zipfile.ZipFile(tmp_path / "zip" / "img_align_celeba.zip", "w") as archive:
        archive.writestr("../../000001.jpg", b"x")
    (tmp_path / "broken" / "img_align_celeba").mkdir()
    (tmp_path / "broken" / "img_align_celeba" / "000001.jpg").write_bytes(b"")
    (tmp_path / "received").mkdir()
    (tmp_path / "received" / "run.json").write_text("{}")
    (tmp_path / "received" / "config.yaml").write_text("x: !!python/object/apply:os.system ['touch pwned']\n")
    typed = [text.format(folder=tmp_path, faces=faces) for text in arguments]
    before = sorted(path for path in tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        command(*typed)
    said = capsys.readouterr().err
    assert stop.value.code == 2 and said.strip() and "Traceback" not in said
    assert sorted(path for path in tmp_path.rglob("*")) == before
