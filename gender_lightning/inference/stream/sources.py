"""Where pictures come from: files, folders, globs, lists, standard input, videos, a camera. Nothing is held at once."""

from __future__ import annotations

import csv
import glob
import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gender_lightning.errors import UserError
from gender_lightning.inference.stream.items import Item
from gender_lightning.inference.stream.video import camera_frames, video_frames

PICTURES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm",
     ".pnm", ".jp2", ".tga", ".avif", ".ico")
)  # fmt: skip
VIDEOS = frozenset((".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".ts", ".3gp"))
LISTS = frozenset((".csv", ".tsv", ".txt", ".lst"))
COLUMN_NAMES = ("image", "path", "file", "filename", "file_name", "image_id", "image_path")


@dataclass(frozen=True)
class Source:
    """What the user has named.

    Attributes:
        inputs: As typed; at least one.
        frame_step: Of a video, every so manieth frame is used.
    """

    inputs: tuple[str, ...]
    frame_step: int = 1

    @property
    def is_endless(self) -> bool:
        """Whether it ends by Ctrl-C only."""
        return any(is_camera(text) for text in self.inputs)

    @property
    def has_frames(self) -> bool:
        """Whether frames come out of it, which are large and travel in memory."""
        return any(is_camera(text) or Path(text).suffix.lower() in VIDEOS for text in self.inputs)

    def check(self) -> None:
        """Look whether everything named is there.

        Raises:
            UserError: Something is not, or nothing is named.
        """
        if not self.inputs:
            raise UserError("input=[] names no picture. Give files, a folder, a glob, a list, a video or a camera.")
        for text in self.inputs:
            known = text == "-" or is_camera(text) or os.path.exists(text)
            if not known and next(glob.iglob(text, recursive=True), None) is None:
                what = "matches nothing" if glob.has_magic(text) else "does not exist"
                raise UserError(f"input={text}: it {what}. Give files, a folder, a glob, a list, a video or a camera.")

    def count(self) -> int | None:
        """Number of pictures, without reading them; None where it shows only at the end."""
        if self.has_frames or "-" in self.inputs:
            return None
        return sum(1 for _ in self.items())

    def items(self) -> Iterator[Item]:
        """The pictures in an order that is the same each time.

        Raises:
            UserError: A list or a video that cannot be read.
        """
        for text in self.inputs:
            yield from self._of(text)

    def _of(self, text: str) -> Iterator[Item]:
        if text == "-":
            yield from _listed(sys.stdin, "")
        elif is_camera(text):
            yield from camera_frames(int(text.partition(":")[2] or 0), self.frame_step)
        elif os.path.isdir(text):
            yield from (_item(path) for path in _walk(text))
        elif os.path.exists(text):
            yield from self._of_file(text)
        else:
            for path in sorted(glob.iglob(text, recursive=True)):
                if os.path.isfile(path):
                    yield from self._of_file(path)

    def _of_file(self, path: str) -> Iterator[Item]:
        suffix = Path(path).suffix.lower()
        if suffix in VIDEOS:
            yield from video_frames(path, self.frame_step)
        elif suffix in LISTS:
            yield from read_list(path)
        else:
            yield _item(path)


def is_camera(text: str) -> bool:
    """Whether it is `camera`, or `camera:1` for the second one."""
    return re.fullmatch(r"camera(:\d+)?", text) is not None


def read_list(path: str) -> Iterator[Item]:
    """The pictures that a list names, one a line; relative names count from the list's own folder.

    A CSV or TSV has them in the column image, path, file, filename or image_id, else in its first column.

    Raises:
        UserError: The list cannot be read.
    """
    folder, suffix = os.path.dirname(path), Path(path).suffix.lower()
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            if suffix in (".csv", ".tsv"):
                yield from _tabulated(csv.reader(file, delimiter="\t" if suffix == ".tsv" else ","), folder)
            else:
                yield from _listed(file, folder)
    except (OSError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"The list {path} cannot be read: {reason}. Mend it, or give the pictures' folder.") from error


def _tabulated(rows: Iterator[list[str]], folder: str) -> Iterator[Item]:
    first = next(rows, [])
    names = [cell.strip().lower() for cell in first]
    column = next((names.index(name) for name in COLUMN_NAMES if name in names), None)
    if column is None:
        column = 0
        if first and Path(first[0].strip()).suffix:
            yield _item(os.path.join(folder, first[0].strip()))  # no header
    for row in rows:
        if len(row) > column and row[column].strip():
            yield _item(os.path.join(folder, row[column].strip()))


def _listed(lines: Iterable[str], folder: str) -> Iterator[Item]:
    for line in lines:
        if name := line.strip("\r\n").strip():
            yield _item(os.path.join(folder, name))


def _walk(folder: str) -> Iterator[str]:
    """Pictures below a folder, sorted; hidden files and links to folders are left out. One folder's names at a time."""
    try:
        with os.scandir(folder) as entries:
            found = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
    except OSError as error:
        raise UserError(f"The folder {folder} cannot be read: {error.strerror}. Check its permissions.") from error
    for name, is_folder in found:
        path = os.path.join(folder, name)
        if name.startswith("."):
            continue
        if is_folder:
            yield from _walk(path)
        elif Path(name).suffix.lower() in PICTURES:
            yield path


def _item(path: str) -> Item:
    """A name that is no UTF-8 is written with backslashes, so that every format can hold it."""
    return Item(os.fsencode(path).decode("utf-8", "backslashreplace"), path)
