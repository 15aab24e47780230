"""Folders of faces under their various names."""

from __future__ import annotations

from pathlib import Path

import pytest

from gender_lightning.data.annotations import SPLITS
from gender_lightning.data.folders import read_folder
from gender_lightning.data.selection import class_counts
from gender_lightning.errors import UserError

SIZES = {"train": 0.5, "valid": 0.25, "test": 0.25}


def fill(folder: Path, count: int, suffix: str = ".jpg") -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        (folder / f"ä {number}{suffix}").touch()
    (folder / "notes.txt").touch()


def test_split_folders(tmp_path: Path) -> None:
    for split, female, male in (("Train", "Female", "male"), ("val", "F", "m"), ("test", "women", "MEN")):
        fill(tmp_path / split / female, 3, ".PNG")
        fill(tmp_path / split / male / "deeper", 2, ".webp")
    index = read_folder(tmp_path, SIZES, seed=0)
    assert [class_counts(index, split) for split in SPLITS] == [(3, 2)] * 3
    assert all((tmp_path / name.decode()).is_file() for name in index.image_ids)


def test_class_folders_are_split_at_random(tmp_path: Path) -> None:
    fill(tmp_path / "Woman", 12)
    fill(tmp_path / "man", 8, ".bmp")
    index = read_folder(tmp_path, SIZES, seed=0)
    assert [class_counts(index, split) for split in SPLITS] == [(6, 4), (3, 2), (3, 2)]
    again = read_folder(tmp_path, SIZES, seed=0)
    assert (index.partition == again.partition).all() and (index.image_ids == again.image_ids).all()


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no faces"):
        read_folder(tmp_path, SIZES, seed=0)
    with pytest.raises(UserError, match="does not exist"):
        read_folder(tmp_path / "none", SIZES, seed=0)
