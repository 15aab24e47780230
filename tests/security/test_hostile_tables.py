"""What is written for a spreadsheet or a browser from other people's words runs nothing there."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import optuna
import pytest

from gender_lightning.csv_text import cell, text_of
from gender_lightning.data.rows.skipping import Skipped, read_skipped, write_skipped
from gender_lightning.data.sources.annotations import read_celeba
from gender_lightning.data.sources.folders import read_folder
from gender_lightning.errors import UserError, printable
from gender_lightning.sweeps.search.plots import page
from gender_lightning.sweeps.search.report import trials_csv

SIZES = {"train": 0.5, "valid": 0.25, "test": 0.25}
FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "=cmd|'/c calc'!A1", "'=1", "plain", "a,b", 'say "x"', ""]


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_is_a_formula_and_the_text_comes_back(text: str) -> None:
    assert not cell(text).startswith(("=", "+", "-", "@", "\t", "\r"))
    assert text_of(cell(text)) == text


def test_skipped_csv_comes_back_without_formulas(tmp_path: Path) -> None:
    skipped = [Skipped(name, "valid", f"{name} does not decode.\nTwo lines.") for name in FORMULAS if name]
    write_skipped(tmp_path / "skipped.csv", skipped)
    with (tmp_path / "skipped.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["split"] for row in rows] == ["valid"] * len(skipped)
    assert not any(row["image_id"].startswith(("=", "+", "-", "@")) for row in rows)
    assert read_skipped(tmp_path / "skipped.csv") == skipped
    for text in ("", "a,b\n", "image_id,split,reason\nx\n", "image_id,split,reason\n\0,a,b\n" + "x" * 200_000):
        (tmp_path / "skipped.csv").write_text(text)
        with pytest.raises(UserError, match="is damaged"):
            read_skipped(tmp_path / "skipped.csv")


def test_a_search_escapes_what_trials_say() -> None:
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
    study = optuna.create_study(study_name=f"study {evil}")
    for value in (0.1, 0.2, 0.3):
        trial = study.ask()
        trial.suggest_categorical(evil, [evil, "other"])
        trial.suggest_float("x", 0, 1)
        trial.set_user_attr("error", f"first\n={evil}")
        study.tell(trial, value)
    text = page(study, f"command {evil}")
    assert text is not None
    assert "alert(1)" in text and "<script>alert" not in text and "<img src=x" not in text
    rows = list(csv.reader(trials_csv(study, ["val/accuracy"]).splitlines()))
    assert rows[1][-1].startswith("'=")


def test_a_message_does_not_steer_the_terminal() -> None:
    assert printable("a\x1b[2J\x07\u202eb\nc") == "a\ufffd[2J\ufffd\ufffdb\nc"


@pytest.mark.parametrize("name", ["../../x.jpg", "/etc/x.jpg", "..\\x.jpg", "C:/x.jpg", "a/../../x.jpg"])
def test_an_image_id_does_not_lead_out(tmp_path: Path, name: str) -> None:
    (tmp_path / "list_attr_celeba.txt").write_text(f"1\nMale Young\n{name} 1 1\n")
    (tmp_path / "list_eval_partition.txt").write_text(f"{name} 0\n")
    with pytest.raises(UserError, match="line 3: .* is not a name below the folder"):
        read_celeba(tmp_path, cache_dir=tmp_path / "cache")


@pytest.mark.parametrize("column", ["label", "image_id", "probability"])
def test_a_column_does_not_stand_in_for_ours(tmp_path: Path, column: str) -> None:
    (tmp_path / "list_attr_celeba.txt").write_text(f"1\nMale {column}\n1.jpg 1 1\n")
    (tmp_path / "list_eval_partition.txt").write_text("1.jpg 0\n")
    with pytest.raises(UserError, match="is not CelebA's"):
        read_celeba(tmp_path, cache_dir=tmp_path / "cache")


def test_links_in_circles_end(tmp_path: Path) -> None:
    from PIL import Image

    for name in ("female", "male"):
        (tmp_path / name).mkdir()
        for number in range(4):
            Image.new("RGB", (9, 9)).save(tmp_path / name / f"{number}.jpg")
        for number in range(9):  # each level of each would hold them all again
            (tmp_path / name / f"loop{number}").symlink_to("..")
    index = read_folder(tmp_path, SIZES, seed=1)
    assert len(index) >= 8


def test_a_name_that_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "female").mkdir()
    (tmp_path / "male").mkdir()
    try:
        (tmp_path / "male" / "caf\udce9.jpg").write_bytes(b"")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    with pytest.raises(UserError, match="the name of this file is not UTF-8"):
        read_folder(tmp_path, SIZES, seed=1)


@pytest.mark.parametrize(
    "change",
    [
        lambda columns: columns | {"image_ids": np.array([b"../x.jpg"] * len(columns["image_ids"]))},
        lambda columns: columns | {"labels": columns["labels"] + 5},
        lambda columns: columns | {"labels": columns["labels"][:1]},
        lambda columns: columns | {"attribute_names": np.array(["label"])},
        lambda columns: columns | {"another": np.zeros(3)},
        lambda columns: {name: column for name, column in columns.items() if name != "partition"},
    ],
)
def test_a_cached_index_of_somebody_else_is_not_believed(tmp_path: Path, change: Callable[..., object]) -> None:
    (tmp_path / "list_attr_celeba.txt").write_text("2\nMale Young\n1.jpg 1 1\n2.jpg -1 1\n")
    (tmp_path / "list_eval_partition.txt").write_text("1.jpg 0\n2.jpg 1\n")
    expected = read_celeba(tmp_path, cache_dir=tmp_path / "cache")
    (cache,) = (tmp_path / "cache").iterdir()
    with np.load(cache) as file:
        columns = {name: file[name] for name in file.files}
    np.savez(cache, **change(columns))  # type: ignore[arg-type]
    index = read_celeba(tmp_path, cache_dir=tmp_path / "cache")
    assert index.image_ids.tolist() == expected.image_ids.tolist()
    assert index.labels.tolist() == expected.labels.tolist()
    assert json.dumps(index.attribute_names) == '["Young"]'
