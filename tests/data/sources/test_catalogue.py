"""What `data prepare` finds, and what it makes of a refused download."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torchvision.datasets
import torchvision.datasets.utils

from gender_lightning.data.sources.catalogue import CELEBA_FILES, is_web_page, prepare
from gender_lightning.errors import UserError

PAGE = b"<!DOCTYPE html><html><title>Google Drive - Quota exceeded</title></html>"


def test_ids_and_sums_are_torchvisions() -> None:
    known = {(name, md5, drive_id) for drive_id, md5, name in torchvision.datasets.CelebA.file_list}
    assert {(source.name, source.md5, source.drive_id) for source in CELEBA_FILES} <= known


def test_states(celeba: Callable[..., Path]) -> None:
    root = celeba()
    (root / "identity_CelebA.txt").write_bytes(PAGE)
    states = {status.source.name: status for status in prepare(root)}
    assert states["list_attr_celeba.txt"].state == "other"
    assert states["identity_CelebA.txt"].state == "quota page"
    assert states["list_landmarks_align_celeba.txt"].state == "missing"
    assert states["img_align_celeba.zip"].state == "there"
    assert "24 images of CelebA's 202,599" in states["img_align_celeba.zip"].note


def test_a_download_is_checked_before_it_is_put_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(drive_id: str, folder: str, name: str, md5: str) -> None:
        (Path(folder) / name).write_bytes(PAGE)
        raise RuntimeError("File not found or corrupted.")

    monkeypatch.setattr(torchvision.datasets.utils, "download_file_from_google_drive", refuse)
    root = tmp_path / "new"
    with pytest.raises(UserError, match=r"quota is used up.*drive.google.com"):
        prepare(root, download=True)
    assert list(root.iterdir()) == []


def test_a_download_arrives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def deliver(drive_id: str, folder: str, name: str, md5: str) -> None:
        (Path(folder) / name).write_bytes(drive_id.encode())

    monkeypatch.setattr(torchvision.datasets.utils, "download_file_from_google_drive", deliver)
    assert all(status.usable for status in prepare(tmp_path, download=True))
    assert not is_web_page(tmp_path / "img_align_celeba.zip")
