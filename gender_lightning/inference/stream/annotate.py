"""Pictures with boxes and labels drawn on them."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from gender_lightning.durable import writing
from gender_lightning.inference.pictures import read_picture
from gender_lightning.inference.stream.items import Item, PredictedPicture, Row
from gender_lightning.inference.stream.video import VideoOutput, frame_rate

# Okabe and Ito's colours, which colour-blind people can tell apart; grey for an uncertain label.
_COLOURS = ((230, 159, 0), (0, 114, 178))
_UNKNOWN = (110, 110, 110)
_WAITING = 8  # pictures that are being drawn or are waiting to be


def draw(pixels: NDArray[np.uint8], rows: tuple[Row, ...], class_names: tuple[str, ...]) -> NDArray[np.uint8]:
    """A picture, RGB uint8 (H, W, 3), with a box and a line of text for each of its faces."""
    picture = Image.fromarray(pixels)
    canvas = ImageDraw.Draw(picture)
    size = max(12, round(max(picture.size) / 45))
    font = ImageFont.load_default(size)
    for row in rows:
        if row["face"] is None:
            _write(canvas, (2, 2), "no face found", font, _UNKNOWN, picture.size)
            continue
        known = row["label"] in class_names
        colour = _COLOURS[class_names.index(row["label"])] if known else _UNKNOWN
        male = row["probability"]
        likely, share = (class_names[1], male) if male >= 0.5 else (class_names[0], 1 - male)
        text = f"{row['label']} {share:.0%}" if known else f"{row['label']} ({likely} {share:.0%})"
        left, top = row["left"], row["top"]
        corner = (left + row["width"] - 1, top + row["height"] - 1)
        canvas.rectangle((left, top, *corner), outline=colour, width=max(2, size // 8))
        _write(canvas, (left, top - round(size * 1.3)), text, font, colour, picture.size)
    return np.array(picture)


def _write(
    canvas: ImageDraw.ImageDraw,
    place: tuple[int, int],
    text: str,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
    colour: tuple[int, int, int],
    size: tuple[int, int],
) -> None:
    """Write text on a filled rectangle, moved so that it stays inside the picture."""
    _left, _top, right, bottom = canvas.textbbox((0, 0), text, font=font)
    x = max(0, min(place[0], size[0] - round(right) - 6))
    y = max(0, min(place[1], size[1] - round(bottom) - 4))
    canvas.rectangle((x, y, x + right + 6, y + bottom + 4), fill=colour)
    canvas.text((x + 3, y + 1), text, font=font, fill="white")


class Annotator:
    """Draws pictures into a folder, in a thread of its own, and the frames of each video into one file."""

    def __init__(self, folder: Path, class_names: tuple[str, ...], frame_step: int = 1) -> None:
        """Every picture is placed below `folder` at its own path, so that no two get the same name."""
        self.folder = folder
        self.class_names = class_names
        self.frame_step = frame_step
        self._pool = ThreadPoolExecutor(1, "annotate")
        self._waiting: deque[Future[None]] = deque()
        self._videos: dict[str, VideoOutput] = {}

    def has(self, item: Item) -> bool:
        """Whether an earlier job has drawn the picture already; a video counts as a whole."""
        return self._target(item).is_file()

    def take(self, pictures: list[PredictedPicture]) -> None:
        """Draw the pictures that could be read."""
        for picture in pictures:
            if picture.item.pixels is not None:
                self._write_frame(picture, picture.item.pixels)
            elif picture.rows[0]["status"] != "unreadable":
                self._waiting.append(self._pool.submit(self._write_picture, picture))
            while len(self._waiting) > _WAITING:
                self._waiting.popleft().result()

    def close(self, *, complete: bool) -> None:
        """Wait for the last pictures; an incomplete video is discarded."""
        self._pool.shutdown(wait=True, cancel_futures=not complete)
        for future in self._waiting:
            if not future.cancelled():
                future.result()
        for video in self._videos.values():
            video.close(complete=complete)

    def _write_picture(self, picture: PredictedPicture) -> None:
        target = self._target(picture.item)
        target.parent.mkdir(parents=True, exist_ok=True)
        drawn = draw(read_picture(picture.item.path), picture.rows, self.class_names)
        with writing(target, "wb") as file:
            Image.fromarray(drawn).save(file, "JPEG", quality=92)

    def _write_frame(self, picture: PredictedPicture, pixels: NDArray[np.uint8]) -> None:
        item = picture.item
        if item.name not in self._videos:
            for video in self._videos.values():  # frames arrive one video after another
                video.close(complete=True)
            rate = frame_rate(item.path) / self.frame_step if item.path else 10.0
            self._videos[item.name] = VideoOutput(self._target(item), rate)
        self._videos[item.name].write(draw(pixels, picture.rows, self.class_names))

    def _target(self, item: Item) -> Path:
        if item.frame is None:
            return self.folder / _as_jpeg(_place(item.path))
        return self.folder / _as_mp4(_place(item.path or item.name.replace(":", "")))


def _place(path: str) -> Path:
    """The place below the folder: the picture's own path, without the parts that lead out of the folder."""
    return Path(*[part for part in Path(path).parts if part not in ("..", ".", Path(path).anchor)])


def _as_jpeg(place: Path) -> Path:
    """The path with a JPEG's extension; another one is kept before it, so that a.png and a.jpg stay apart."""
    return place if place.suffix.lower() in (".jpg", ".jpeg") else place.with_name(f"{place.name}.jpg")


def _as_mp4(place: Path) -> Path:
    """The path with MP4's extension, in the same way: a.mp4 and a.avi stay apart."""
    return place if place.suffix.lower() == ".mp4" else place.with_name(f"{place.name}.mp4")
