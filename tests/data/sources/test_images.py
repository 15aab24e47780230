"""Bytes come from folders and zips alike; the zip is compared with the standard library's reader."""

from __future__ import annotations

import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gender_lightning.data.sources import archive
from gender_lightning.data.sources.images import FolderStore, ZipStore, open_celeba_images
from gender_lightning.errors import UserError

from ..conftest import jpeg, names

Write = Callable[..., Path]
IDS = np.array([b"000002.jpg", b"000001.jpg", b"999999.jpg"])


def pack(path: Path, method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        file.mkdir("img_align_celeba")
        for row, name in enumerate(names()):
            file.writestr(f"img_align_celeba/{name}", jpeg(row))
        file.writestr("__MACOSX/img_align_celeba/._000001.jpg", b"resource fork")
        file.comment = b"a comment"
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_gives_the_bytes_that_were_packed(tmp_path: Path, method: int) -> None:
    store = ZipStore(pack(tmp_path / "img_align_celeba.zip", method))
    store.read(b"000001.jpg")
    store = pickle.loads(pickle.dumps(store))  # as to a spawned worker
    assert [store.read(name.encode()) for name in names()] == [jpeg(row) for row in range(len(names()))]
    assert store.exists(IDS).tolist() == [True, True, False]
    assert store.describe(b"000001.jpg").endswith("img_align_celeba.zip:000001.jpg")
    with pytest.raises(UserError, match="999999.jpg is not in the archive"):
        store.read(b"999999.jpg")


def test_a_zip64_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 500)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 5)
    path = pack(tmp_path / "a.zip")
    assert archive.END64 in path.read_bytes()
    assert ZipStore(path).read(b"000007.jpg") == jpeg(6)


def test_damage_in_a_zip_is_reported(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip")
    data = bytearray(path.read_bytes())
    data[data.index(jpeg(4)) + 40] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match="a.zip:000005.jpg is damaged"):
        ZipStore(path).read(b"000005.jpg")
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match="not a complete zip"):
        ZipStore(path)
    path.write_bytes(b"")
    with pytest.raises(UserError, match="not a complete zip"):
        ZipStore(path)


@pytest.mark.parametrize("kaggle", [False, True])
def test_folders_of_both_layouts(celeba: Write, kaggle: bool) -> None:
    store = open_celeba_images(celeba(kaggle=kaggle))
    assert isinstance(store, FolderStore)
    assert store.exists(IDS).tolist() == [True, True, False]
    assert store.read(b"000001.jpg") == jpeg(0)
    with pytest.raises(UserError, match="999999.jpg cannot be read"):
        store.read(b"999999.jpg")


def test_a_zip_stands_in_for_an_empty_folder(celeba: Write) -> None:
    root = celeba(images=False)
    with pytest.raises(UserError, match="neither img_align_celeba/ nor img_align_celeba.zip"):
        open_celeba_images(root)
    (root / "img_align_celeba").mkdir()
    (root / "Img").mkdir()
    shutil.move(pack(root / "a.zip"), root / "Img" / "img_align_celeba.zip")
    assert isinstance(open_celeba_images(root), ZipStore)
