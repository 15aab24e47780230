"""Label files are read as they are written, in each form; mistakes are named with their line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gender_lightning.data.sources import annotations
from gender_lightning.data.sources.annotations import Index, read_celeba
from gender_lightning.errors import UserError

from ..conftest import MALE, ROWS, SPLIT, names

Write = Callable[..., Path]


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"end": "\r\n"},
        {"zeros": True},
        {"kaggle": True},
        {"kaggle": True, "end": "\r\n", "zeros": True},
    ],
)
def test_each_form_gives_the_same_index(celeba: Write, form: dict[str, object]) -> None:
    index = read_celeba(celeba(**form, images=False))
    assert index.image_ids.tolist() == [name.encode() for name in names()]
    assert index.labels.tolist() == MALE and index.labels.dtype == np.int8
    assert index.partition.tolist() == SPLIT
    assert index.attribute_names == ("Bald", "Young")
    assert index.attributes[:, 0].tolist() == [row % 2 == 0 for row in range(ROWS)]
    assert index.attributes[:, 1].all()
    if form.get("kaggle"):
        assert index.identities is None
    else:
        assert index.identities is not None and index.identities.tolist() == [row // 3 + 7 for row in range(ROWS)]
    assert index.split("valid").tolist() == list(range(12, 18))


def test_chunks_join_seamlessly(celeba: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    root = celeba(images=False)
    whole = read_celeba(root, cache_dir=tmp_path / "a")
    monkeypatch.setattr("gender_lightning.data.sources.tables.CHUNK_BYTES", 50)
    assert_equal(read_celeba(root, cache_dir=tmp_path / "b"), whole)


def test_rows_in_another_order_are_matched_by_name(celeba: Write) -> None:
    root = celeba(images=False)
    expected = read_celeba(root)
    path = root / "list_eval_partition.txt"
    path.write_text("\n".join(reversed(path.read_text().splitlines())))  # and no line feed at the end
    assert_equal(read_celeba(root), expected)


def test_landmarks_are_read(celeba: Write) -> None:
    root = celeba(images=False)
    header = "a b c d e f g h i j"
    rows = [f"{name}  {' '.join(str(row * 10 - i) for i in range(10))}" for row, name in enumerate(names())]
    (root / "list_landmarks_align_celeba.txt").write_text("\n".join([str(ROWS), header, *rows]))
    landmarks = read_celeba(root).landmarks
    assert landmarks is not None and landmarks.dtype == np.int16
    assert landmarks[3].tolist() == [30 - i for i in range(10)] and landmarks[0, 1] == -1


MISTAKES = {
    "missing column": (
        "list_attr_celeba.txt",
        "Bald Male Young",
        "Bald Mail Young",
        "line 2: column Male is missing",
    ),
    "short row": ("list_attr_celeba.txt", "000005.jpg  1", "000005.jpg", "line 7: 2 values where 3"),
    "no number": ("list_attr_celeba.txt", "000005.jpg  1", "000005.jpg  x", "line 7: 'x' .* whole number"),
    "bad value": ("list_eval_partition.txt", "000005.jpg 0", "000005.jpg 3", "line 5: 3 for 000005.jpg"),
    "no value": ("list_eval_partition.txt", "000001.jpg 0", "000001.jpg", "line 2|line 1"),
    "unknown image": (
        "list_eval_partition.txt",
        "000005.jpg",
        "999999.jpg",
        "line 5: image 999999.jpg has no row",
    ),
    "unknown identity": (
        "identity_CelebA.txt",
        "000005.jpg",
        "999999.jpg",
        "line 5: image 999999.jpg has no row",
    ),
    "listed twice": (
        "list_attr_celeba.txt",
        "000005.jpg",
        "000004.jpg",
        "line 7: image 000004.jpg is listed twice",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named_with_its_line(celeba: Write, name: str) -> None:
    root = celeba(images=False)
    file, old, new, message = MISTAKES[name]
    text = (root / file).read_text()
    assert old in text
    (root / file).write_text(text.replace(old, new, 1))
    with pytest.raises(UserError, match=message) as caught:
        read_celeba(root)
    assert file in str(caught.value)


def test_missing_files_are_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"list_attr_celeba.txt and list_eval_partition.txt are missing\. .*prepare"):
        read_celeba(tmp_path)


def test_the_cache_is_used_and_refreshed(celeba: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    root, cache = celeba(images=False), tmp_path / "kept"
    first = read_celeba(root, cache_dir=cache)
    with monkeypatch.context() as patched:
        patched.setattr(annotations, "read_table", None)  # parsing would now fail
        assert_equal(read_celeba(root, cache_dir=cache), first)
    path = root / "list_eval_partition.txt"
    path.write_text(path.read_text().replace("000001.jpg 0", "000001.jpg 2"))
    assert read_celeba(root, cache_dir=cache).partition[0] == 2
    assert [file.suffix for file in cache.iterdir()] == [".npz"]


@pytest.mark.parametrize("damage", [b"", b"nonsense", None])
def test_a_damaged_cache_is_made_again(celeba: Write, tmp_path: Path, damage: bytes | None) -> None:
    root, cache = celeba(images=False), tmp_path / "kept"
    first = read_celeba(root, cache_dir=cache)
    (file,) = cache.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    assert_equal(read_celeba(root, cache_dir=cache), first)
    assert file.stat().st_size == len(whole)


def test_a_cache_that_cannot_be_written_costs_nothing_else(celeba: Write, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    assert len(read_celeba(celeba(images=False), cache_dir=tmp_path / "file" / "below")) == ROWS


def assert_equal(ours: Index, other: Index) -> None:
    for key, value in vars(ours).items():
        np.testing.assert_array_equal(value, getattr(other, key))
