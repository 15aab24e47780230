"""What a user names as input, as the pictures that a job reads."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from gender_lightning.errors import UserError
from gender_lightning.inference.stream.sources import Source


def names(*inputs: str) -> list[str]:
    source = Source(inputs)
    source.check()
    return [item.path for item in source.items()]


def test_a_folder_is_read_with_all_below_it(tmp_path: Path) -> None:
    for name in ("b/2.PNG", "b/1.jpg", "a.jpeg", ".hidden.jpg", "notes.txt", "b/.git/x.jpg", "film.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "b" / "loop").symlink_to(tmp_path)
    assert names(str(tmp_path)) == [str(tmp_path / name) for name in ("a.jpeg", "b/1.jpg", "b/2.PNG")]
    assert Source((str(tmp_path),)).count() == 3
    assert names(str(tmp_path / "b" / "*.jpg")) == [str(tmp_path / "b" / "1.jpg")]
    assert names(str(tmp_path / "b" / "1.jpg"), str(tmp_path / "a.jpeg"))[1].endswith("a.jpeg")


@pytest.mark.parametrize(
    ("file", "text", "wanted"),
    [
        ("list.txt", "a.jpg\r\n\n  sub/b c.png  \n/abs/c.jpg", ["a.jpg", "sub/b c.png", "/abs/c.jpg"]),
        ("list.csv", 'id,Path\n1,a.jpg\n2,"b,c.jpg"\n', ["a.jpg", "b,c.jpg"]),
        ("list.csv", "name,age\nx.jpg,3\n", ["x.jpg"]),
        ("list.csv", "a.jpg,1\nb.jpg,2\n", ["a.jpg", "b.jpg"]),
        ("list.csv", "id;image\n7;a.jpg\n8;b,c.jpg\n", ["a.jpg", "b,c.jpg"]),
        ("list.csv", "person;photo\nJ.Smith;a.jpg\nA.Ray;gone.webp\n", ["a.jpg", "gone.webp"]),
        ("list.tsv", "\ufeffimage\tage\na.jpg\t3\n", ["a.jpg"]),
        ("list.txt", "", []),
    ],
)
def test_lists(tmp_path: Path, file: str, text: str, wanted: list[str]) -> None:
    (tmp_path / file).write_text(text, encoding="utf-8", newline="")
    assert names(str(tmp_path / file)) == [os.path.join(tmp_path, name) for name in wanted]


def test_a_list_in_utf_16(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("nr\tpath\n1\té.jpg\n", encoding="utf-16")
    assert names(str(tmp_path / "list.csv")) == [str(tmp_path / "é.jpg")]


def test_a_list_with_two_columns_of_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("path,age,path\na.jpg,30,b.jpg\n")
    with pytest.raises(UserError, match="has two columns path"):
        names(str(tmp_path / "list.csv"))


def test_a_list_without_pictures_names_its_columns(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("id,age\n1,30\n2,40\n")
    with pytest.raises(UserError, match="columns id, age"):
        names(str(tmp_path / "list.csv"))


def test_what_a_folder_holds_besides_is_counted(tmp_path: Path) -> None:
    for name in ("a.jpg", "b/1.mp4", "b/2.MP4", "notes.txt", "README", ".hidden"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "again.jpg").symlink_to(tmp_path, target_is_directory=True)
    source = Source((str(tmp_path),))
    assert source.count() == 1 and not source.left_out
    assert len(list(source.items())) == 1
    assert source.left_out == {".mp4": 2, ".txt": 1, "without an extension": 1, "linking to a folder": 1}
    assert source.left_out_text().startswith("left out: 2 .mp4 (videos are read only if they are named: ")


def test_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.jpg").touch()
    assert names("~/a.jpg", "~/*.jpg") == [str(tmp_path / "a.jpg")] * 2


def test_what_comes_behind_a_camera_would_never_be_read() -> None:
    with pytest.raises(UserError, match="Name the camera last"):
        Source(("camera", "camera:7")).check()


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("a.jpg\nb.jpg\n"))
    assert names("-") == ["a.jpg", "b.jpg"]
    assert Source(("-",)).count() is None


def test_a_name_that_is_no_utf8_can_be_written_everywhere(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/caf\xe9.jpg"
    with open(path, "wb"):
        pass
    (item,) = Source((str(tmp_path),)).items()
    assert os.fsencode(item.path) == path and item.name == f"{tmp_path}/caf\\xe9.jpg"


@pytest.mark.parametrize("text", ["absent.jpg", "absent/*.jpg", "camera:x"])
def test_what_is_not_there_is_said_at_once(text: str) -> None:
    with pytest.raises(UserError, match="input="):
        Source((text,)).check()


def test_a_camera_that_is_not_there() -> None:
    source = Source(("camera:97",))
    source.check()
    assert source.is_endless
    with pytest.raises(UserError, match="no such camera"):
        next(source.items())
