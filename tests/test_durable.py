"""A file has its name once it is whole, and its former self can be kept."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from gender_lightning import durable
from gender_lightning.durable import keep_as, publish, writing


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


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with writing(path) as file:
        file.write("\u00e9\r\n")
        assert not path.exists()
    assert path.read_bytes() == b"\xc3\xa9\r\n"
    with writing(path, "wb") as file:
        file.write(b"\0")
    assert path.read_bytes() == b"\0" and os.listdir(tmp_path) == ["file"]


def test_what_breaks_off_leaves_the_former_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    with pytest.raises(ZeroDivisionError), writing(tmp_path / "file") as file:
        file.write("half" + str(1 / 0))
    assert (tmp_path / "file").read_text() == "old" and os.listdir(tmp_path) == ["file"]


def test_two_writers_never_meet(tmp_path: Path) -> None:
    """Also not in threads of one process: the last one to finish wins, with its own text alone."""
    with writing(tmp_path / "file") as first, writing(tmp_path / "file") as second:
        first.write("first")
        second.write("second")
        assert len(os.listdir(tmp_path)) == 2
    assert (tmp_path / "file").read_text() == "first" and os.listdir(tmp_path) == ["file"]


def test_a_link_in_place_of_the_temporary_file_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durable, "temporary_name", lambda path: path.with_name(".guessed"))
    (tmp_path / ".guessed").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError), writing(tmp_path / "file") as file:
        file.write("text")
    assert not (tmp_path / "elsewhere").exists()


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
