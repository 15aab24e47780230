"""Folders of faces under their various names."""

from __future__ import annotations

from pathlib import Path

import pytest

from gender_lightning.data.decoding import picture_suffixes
from gender_lightning.data.rows.selection import check_identities_disjoint, class_counts
from gender_lightning.data.sources.annotations import SPLITS
from gender_lightning.data.sources.folders import read_folder
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


def test_the_same_pictures_are_read_as_for_a_prediction(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for suffix in sorted(picture_suffixes()):
        fill(tmp_path / "female" / suffix[1:], 1, suffix.upper())
    fill(tmp_path / "male", 1)
    fill(tmp_path / "male" / ".ipynb_checkpoints", 3)
    fill(tmp_path / "other", 3)
    fill(tmp_path / "male" / "raw", 2, ".cr3")
    index = read_folder(tmp_path, {"train": 1.0, "valid": 0, "test": 0}, seed=0)
    used = {Path(name.decode()).suffix.lower() for name in index.image_ids}
    assert used == picture_suffixes() and len(index) == len(used) + 1
    count = len(used) + 2
    assert f"left out: {count} .txt, 2 .cr3, the folder other/." in caplog.text


def test_training_validation_testing(tmp_path: Path) -> None:
    for split, count in (("Training", 4), ("Validation", 3), ("Testing", 2)):
        fill(tmp_path / split / "female", count)
        fill(tmp_path / split / "male", count)
    index = read_folder(tmp_path, SIZES, seed=0)
    assert [class_counts(index, split) for split in SPLITS] == [(4, 4), (3, 3), (2, 2)]


def test_folders_of_persons_are_split_by_person(tmp_path: Path) -> None:
    for name in ("female", "male"):
        for person in range(12):
            fill(tmp_path / name / f"person {person}" / "deeper", 3 + person % 3)
    index = read_folder(tmp_path, SIZES, seed=0)
    assert index.identities is not None and len(set(index.identities.tolist())) == 24
    assert check_identities_disjoint(index) == 0 and len(set(index.partition.tolist())) == 3
    (tmp_path / "male" / "1.jpg").touch()  # of nobody
    assert read_folder(tmp_path, SIZES, seed=0).identities is None


def test_two_parts_of_a_download_are_not_two_persons(tmp_path: Path) -> None:
    for name in ("female", "male"):
        for part in range(2):
            fill(tmp_path / name / f"part{part}", 10)
    assert read_folder(tmp_path, SIZES, seed=0).identities is None
