"""Sources of pictures: files, folders, globs, lists, standard input, videos and cameras, read one at a time."""

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
_KINDS = "Give files, a folder, a glob, a list, a video or a camera."

_MOST_TOLD = 6  # kinds of skipped files that are named in a message


@dataclass(frozen=True)
class Source:
    """The pictures that `input=` names.

    Attributes:
        inputs: The inputs as typed; at least one.
        frame_step: Every `frame_step`-th frame of a video is used.
        left_out: What the current pass over `items` has left out so far, counted by kind (``.mp4``,
            ``frames missing``).
    """

    inputs: tuple[str, ...]
    frame_step: int = 1
    left_out: Counter[str] = field(default_factory=Counter, compare=False)

    @property
    def is_endless(self) -> bool:
        """Whether only Ctrl-C ends it, as with a camera."""
        return any(is_camera(text) for text in self.inputs)

    def check(self) -> None:
        """Check that everything named exists.

        Raises:
            UserError: Something is missing, or nothing is named.
        """
        if not self.inputs:
            raise UserError("input=[] names no picture.", _KINDS, field="input")
        if any(is_camera(text) for text in self.inputs[:-1]):
            raise UserError(
                "A camera never ends, so that the inputs after it would never be read.",
                "Name the camera last.",
                field="input",
            )
        for text in self.inputs:
            known = text == "-" or is_camera(text) or os.path.exists(_expanded(text))
            if not known and next(glob.iglob(_expanded(text), recursive=True), None) is None:
                what = "matches nothing" if glob.has_magic(text) else "does not exist"
                raise UserError(f"input={text} {what}.", _KINDS, field="input")

    def count(self) -> int | None:
        """Number of pictures, without reading them; None if only the end shows it, as with videos."""
        if self.is_endless or "-" in self.inputs:
            return None
        number = 0
        for path in self._paths(Counter()):
            if is_video(path):
                return None
            number += 1
        return number

    def items(self) -> Iterator[Item]:
        """The pictures, always in the same order; a file that cannot be read becomes an item that says so.

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
        """What the last pass has left out, and why, in words; empty if nothing was left out."""
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
        """Files that exist or that a list names, and cameras as typed."""
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
        return f"videos are read only if they are named: input='FOLDER/*{name}'"
    return why_not(name) if name.startswith(".") else ""


def _expanded(text: str) -> str:
    """The text with the home folder in place of `~`, which a shell does not expand after an equals sign."""
    return os.path.expanduser(text)


def _of_file(path: str) -> Iterator[str]:
    if Path(path).suffix.lower() in LISTS:
        yield from read_list(path)
    else:
        yield path


def is_camera(text: str) -> bool:
    """Whether the text is `camera`, or `camera:1` for the second one."""
    return re.fullmatch(r"camera(:\d+)?", text) is not None


def _walk(folder: str, left_out: Counter[str]) -> Iterator[str]:
    """Pictures below a folder, sorted, without hidden files and links to folders; one folder is listed at a time.

    Files of other kinds are counted in `left_out`, by their extension.
    """
    try:
        with os.scandir(folder) as entries:
            found = sorted((entry.name, entry.is_dir(), entry.is_symlink()) for entry in entries)
    except OSError as error:
        raise UserError(f"The folder {folder} cannot be read: {error.strerror}.", "Check its permissions.") from error
    for name, is_folder, is_link in found:
        path = os.path.join(folder, name)
        if name.startswith("."):
            continue
        if is_folder and is_link:
            left_out["linking to a folder"] += 1
        elif is_folder:
            yield from _walk(path, left_out)
        elif Path(name).suffix.lower() in picture_suffixes():
            yield path
        else:
            left_out[Path(name).suffix.lower() or "without an extension"] += 1


def _item(path: str) -> Item:
    """A picture file; a name that is not valid UTF-8 is written with backslashes, so that every format can hold it."""
    return Item(os.fsencode(path).decode("utf-8", "backslashreplace"), path)
