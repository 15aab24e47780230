"""Where pictures come from: files, folders, globs, lists, standard input, videos, a camera. Nothing is held at once."""

from __future__ import annotations

import glob
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gender_lightning.data.decoding import picture_suffixes, why_not
from gender_lightning.errors import UserError
from gender_lightning.inference.stream.items import Item
from gender_lightning.inference.stream.lists import listed, read_list
from gender_lightning.inference.stream.video import VIDEOS, camera_frames, is_video, video_frames

LISTS = frozenset((".csv", ".tsv", ".txt", ".lst"))

_MOST_TOLD = 6  # kinds of what is left out


@dataclass(frozen=True)
class Source:
    """What the user has named.

    Attributes:
        inputs: As typed; at least one.
        frame_step: Of a video, every so manieth frame is used.
        left_out: How many of what (``.mp4``, ``frames missing``) the last pass over `items` has left out so far.
    """

    inputs: tuple[str, ...]
    frame_step: int = 1
    left_out: Counter[str] = field(default_factory=Counter, compare=False)

    @property
    def is_endless(self) -> bool:
        """Whether it ends by Ctrl-C only."""
        return any(is_camera(text) for text in self.inputs)

    def check(self) -> None:
        """Look whether everything named is there.

        Raises:
            UserError: Something is not, or nothing is named.
        """
        if not self.inputs:
            raise UserError("input=[] names no picture. Give files, a folder, a glob, a list, a video or a camera.")
        if any(is_camera(text) for text in self.inputs[:-1]):
            raise UserError("A camera never ends, so that what is named behind it is never read. Name it last.")
        for text in self.inputs:
            known = text == "-" or is_camera(text) or os.path.exists(_expanded(text))
            if not known and next(glob.iglob(_expanded(text), recursive=True), None) is None:
                what = "matches nothing" if glob.has_magic(text) else "does not exist"
                raise UserError(f"input={text}: it {what}. Give files, a folder, a glob, a list, a video or a camera.")

    def count(self) -> int | None:
        """Number of pictures, without reading them; None where it shows only at the end, as with videos."""
        if self.is_endless or "-" in self.inputs:
            return None
        number = 0
        for path in self._paths(Counter()):
            if is_video(path):
                return None
            number += 1
        return number

    def items(self) -> Iterator[Item]:
        """The pictures in an order that is the same each time; a file that cannot be read is an item that says so.

        Raises:
            UserError: A list or a folder that cannot be read.
        """
        self.left_out.clear()
        for path in self._paths(self.left_out):
            if is_camera(path):
                yield from camera_frames(int(path.partition(":")[2] or 0), self.frame_step)
            elif is_video(path):
                yield from video_frames(path, self.frame_step, self._miss)
            else:
                yield _item(path)

    def left_out_text(self) -> str:
        """What the last pass has left out, and why, as a sentence; empty where that is nothing."""
        told = [
            f"{count:,} {name}" + (f" ({reason})" if (reason := _reason(name)) else "")
            for name, count in self.left_out.most_common(_MOST_TOLD)
        ]
        rest = sum(count for _, count in self.left_out.most_common()[_MOST_TOLD:])
        if rest:
            told.append(f"{rest:,} others")
        return f"left out: {', '.join(told)}" if told else ""

    def _miss(self, frames: int) -> None:
        self.left_out["frames missing"] += frames

    def _paths(self, left_out: Counter[str]) -> Iterator[str]:
        """Files that are there or that a list names, and cameras as typed."""
        for text in self.inputs:
            path = _expanded(text)
            if text == "-":
                yield from listed(sys.stdin, "")
            elif is_camera(text):
                yield text
            elif os.path.isdir(path):
                yield from _walk(path, left_out)
            elif os.path.exists(path):
                yield from _of_file(path)
            else:
                for found in sorted(glob.iglob(path, recursive=True)):
                    if os.path.isfile(found):
                        yield from _of_file(found)


def _reason(name: str) -> str:
    if name in VIDEOS:
        return f"videos are read when they are named: input='FOLDER/*{name}'"
    return why_not(name) if name.startswith(".") else ""


def _expanded(text: str) -> str:
    """With the home folder in place of `~`, which a shell leaves alone behind an equals sign."""
    return os.path.expanduser(text)


def _of_file(path: str) -> Iterator[str]:
    if Path(path).suffix.lower() in LISTS:
        yield from read_list(path)
    else:
        yield path


def is_camera(text: str) -> bool:
    """Whether it is `camera`, or `camera:1` for the second one."""
    return re.fullmatch(r"camera(:\d+)?", text) is not None


def _walk(folder: str, left_out: Counter[str]) -> Iterator[str]:
    """Pictures below a folder, sorted; hidden files and links to folders are left out. One folder's names at a time.

    Files of other kinds are counted in `left_out`, by their ending.
    """
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
            yield from _walk(path, left_out)
        elif Path(name).suffix.lower() in picture_suffixes():
            yield path
        else:
            left_out[Path(name).suffix.lower() or "without an ending"] += 1


def _item(path: str) -> Item:
    """A name that is no UTF-8 is written with backslashes, so that every format can hold it."""
    return Item(os.fsencode(path).decode("utf-8", "backslashreplace"), path)
