"""A file has its name once it is whole, and its former self can be kept."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from gender_lightning.durable import keep_as, publish


def test_the_bytes_are_on_the_disk_before_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[str, list[str]]] = []
    fsync = os.fsync

    def note(handle: int) -> None:
        name = os.readlink(f"/proc/self/fd/{handle}")
        synced.append((Path(name).name, sorted(os.listdir(tmp_path))))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", note)
    fresh = tmp_path / "fresh"
    fresh.write_text("new")
    publish(fresh, tmp_path / "file")
    assert synced == [("fresh", ["fresh"]), (tmp_path.name, ["file"])]


def test_what_cannot_be_synced_is_not_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "fresh").write_text("new")

    def broken(handle: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="Input/output"):
        publish(tmp_path / "fresh", tmp_path / "file")
    assert (tmp_path / "file").read_text() == "old"


@pytest.mark.parametrize("links", [True, False])
def test_the_former_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    if not links:

        def refuse(*_: Any) -> None:
            raise OSError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "last").write_text("2")
    (tmp_path / "previous").write_text("1")
    keep_as(tmp_path / "last", tmp_path / "previous")
    assert (tmp_path / "previous").read_text() == "2"
    assert (tmp_path / "last").exists() == links
    assert not list(tmp_path.glob(".*"))
