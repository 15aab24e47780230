"""The embedded synthetic faces: files, determinism, labels."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from gender_lightning.errors import UserError
from gender_lightning.synthetic import faces as synthetic
from gender_lightning.synthetic.drawing.attributes import NAMES, attributes
from gender_lightning.synthetic.drawing.traits import sample_person, sample_picture
from gender_lightning.synthetic.faces import LANDMARKS, draw_faces, synthetic_faces

SIZES = {"train": 24, "valid": 6, "test": 6}
CELEBA = "5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose Black_Hair \
Blond_Hair Blurry Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses Goatee Gray_Hair Heavy_Makeup \
High_Cheekbones Male Mouth_Slightly_Open Mustache Narrow_Eyes No_Beard Oval_Face Pale_Skin Pointy_Nose \
Receding_Hairline Rosy_Cheeks Sideburns Smiling Straight_Hair Wavy_Hair Wearing_Earrings Wearing_Hat \
Wearing_Lipstick Wearing_Necklace Wearing_Necktie Young"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("faces") / "synthetic"
    draw_faces(root, SIZES, seed=3)
    return root


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="ascii").splitlines()


def digests(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_text_files_have_celebas_format(drawn: Path) -> None:
    attribute_lines = lines(drawn / "list_attr_celeba.txt")
    assert attribute_lines[0] == "36"
    assert attribute_lines[1].split() == CELEBA.split()
    assert len(attribute_lines) == 2 + 36
    name, *values = attribute_lines[2].split()
    assert name == "000001.jpg"
    assert len(values) == 40
    assert set(values) <= {"-1", "1"}
    landmark_lines = lines(drawn / "list_landmarks_align_celeba.txt")
    assert landmark_lines[:2] == ["36", LANDMARKS]
    assert {len(line.split()) for line in landmark_lines[2:]} == {11}


def test_pictures_are_celebas_size(drawn: Path) -> None:
    files = sorted((drawn / "img_align_celeba").iterdir())
    assert [file.name for file in files] == [f"{number:06d}.jpg" for number in range(1, 37)]
    assert {cv2.imread(str(file)).shape for file in files} == {(218, 178, 3)}


def test_splits_have_the_sizes_asked_for_and_share_no_person(drawn: Path) -> None:
    splits = [int(line.split()[1]) for line in lines(drawn / "list_eval_partition.txt")]
    persons = [int(line.split()[1]) for line in lines(drawn / "identity_CelebA.txt")]
    assert [splits.count(split) for split in range(3)] == [24, 6, 6]
    assert len(set(zip(splits, persons, strict=True))) == len(set(persons))
    assert len(set(persons)) < len(persons)


def test_one_persons_pictures_share_the_label(drawn: Path) -> None:
    column = 1 + CELEBA.split().index("Male")
    labels = [line.split()[column] for line in lines(drawn / "list_attr_celeba.txt")[2:]]
    persons = [line.split()[1] for line in lines(drawn / "identity_CelebA.txt")]
    assert len(set(zip(persons, labels, strict=True))) == len(set(persons))


def test_workers_do_not_change_a_byte(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "_CHUNK", 7)
    calls: list[tuple[int, int]] = []
    draw_faces(tmp_path / "again", SIZES, seed=3, workers=2, progress=lambda done, total: calls.append((done, total)))
    assert digests(tmp_path / "again") == digests(drawn)
    assert calls[-1] == (36, 36)
    assert [path.name for path in tmp_path.iterdir()] == ["again"]


def test_another_seed_draws_other_faces(drawn: Path, tmp_path: Path) -> None:
    draw_faces(tmp_path / "other", {"train": 2}, seed=4)
    ours, theirs = (root / "img_align_celeba" / "000001.jpg" for root in (drawn, tmp_path / "other"))
    assert ours.read_bytes() != theirs.read_bytes()


def test_a_complete_set_is_used_again(drawn: Path) -> None:
    before = (drawn / "synthetic.json").stat().st_mtime_ns
    draw_faces(drawn, SIZES, seed=3, progress=lambda *_: pytest.fail("drew again"))
    assert (drawn / "synthetic.json").stat().st_mtime_ns == before
    assert json.loads((drawn / "synthetic.json").read_text())["sizes"] == SIZES


def test_another_set_is_refused(drawn: Path) -> None:
    with pytest.raises(UserError, match=r"seed 3 there, 4 wanted.*data.root"):
        draw_faces(drawn, SIZES, seed=4)


def test_a_folder_of_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(UserError, match="is not empty.*data=celeba.*data=folder"):
        draw_faces(tmp_path, SIZES, seed=1)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    draw_faces(tmp_path / "set", {"test": 1}, seed=1)
    assert (tmp_path / "set" / "img_align_celeba" / "000001.jpg").is_file()


def test_nothing_is_left_when_drawing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(synthetic, "_write_labels", full)
    with pytest.raises(UserError, match="No space left on device"):
        draw_faces(tmp_path / "set", {"train": 1}, seed=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("sizes", "seed"), [({"dev": 1}, 1), ({}, 1), ({"train": -1}, 1), ({"train": 1}, -1)])
def test_impossible_wishes_are_refused(tmp_path: Path, sizes: dict[str, int], seed: int) -> None:
    with pytest.raises(UserError):
        draw_faces(tmp_path / "set", sizes, seed)


def test_faces_in_memory_are_the_training_splits(drawn: Path) -> None:
    images, labels = synthetic_faces(24, seed=3)
    assert images.shape == (24, 218, 178, 3)
    assert images.dtype == np.uint8
    column = 1 + CELEBA.split().index("Male")
    assert labels.tolist() == [int(line.split()[column] == "1") for line in lines(drawn / "list_attr_celeba.txt")[2:26]]
    jpeg = cv2.imread(str(drawn / "img_align_celeba" / "000001.jpg"))[..., ::-1]
    assert np.abs(images[0].astype(int) - jpeg).mean() < 8


@pytest.fixture(scope="module")
def truths() -> NDArray[np.bool_]:
    """The attributes of 3,000 persons, a picture of each."""
    rng = np.random.default_rng(0)
    persons = [sample_person(rng) for _ in range(3000)]
    return np.array([attributes(person, sample_picture(rng, person)) for person in persons])


def test_no_single_attribute_gives_the_label_away(truths: NDArray[np.bool_]) -> None:
    male = truths[:, NAMES.index("Male")]
    assert 0.39 < male.mean() < 0.45
    others = np.delete(truths, NAMES.index("Male"), axis=1)
    agreement = (others == male[:, None]).mean(0)
    assert np.maximum(agreement, 1 - agreement).max() < 0.85


def test_every_attribute_varies_and_only_facial_hair_and_ties_are_one_classs(truths: NDArray[np.bool_]) -> None:
    male = truths[:, NAMES.index("Male")]
    assert (truths.any(0) & ~truths.all(0)).all()
    never_female = {name for i, name in enumerate(NAMES) if not truths[~male, i].any()}
    assert never_female <= {"Male", "5_o_Clock_Shadow", "Goatee", "Mustache", "Sideburns", "Wearing_Necktie"}
