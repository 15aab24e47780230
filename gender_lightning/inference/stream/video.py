"""Frames out of videos and cameras, and into a video."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gender_lightning.errors import UserError
from gender_lightning.inference.stream.items import Item

_USUAL_RATE = 25.0  # frames a second, where a file does not say


def video_frames(path: str, step: int = 1) -> Iterator[Item]:
    """Every `step`-th frame of a video file, upright.

    Raises:
        UserError: OpenCV cannot read it.
    """
    import cv2

    capture = cv2.VideoCapture(path)
    if not capture.isOpened():
        raise UserError(f"{path} is no video that OpenCV reads. Convert it to MP4 (H.264).")
    name = os.fsencode(path).decode("utf-8", "backslashreplace")
    yield from _frames(capture, name, path, step, lambda: float(capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000)


def camera_frames(number: int, step: int = 1) -> Iterator[Item]:
    """Frames of a camera, until Ctrl-C, with the seconds since the first; a camera's own clock is its driver's.

    Raises:
        UserError: There is no such camera.
    """
    import cv2

    capture = cv2.VideoCapture(number)
    if not capture.isOpened():
        raise UserError(
            f"input=camera:{number}: there is no such camera, or it is in use. Try camera:0 or a video file."
        )
    start = time.monotonic()
    yield from _frames(capture, f"camera:{number}", "", step, lambda: time.monotonic() - start)


def frame_rate(path: str) -> float:
    """Frames a second of a video file, as it says."""
    import cv2

    capture = cv2.VideoCapture(path)
    rate = float(capture.get(cv2.CAP_PROP_FPS))
    capture.release()
    return rate if 0 < rate <= 1000 else _USUAL_RATE


def _frames(capture: Any, name: str, path: str, step: int, clock: Callable[[], float]) -> Iterator[Item]:
    import cv2

    number = 0
    try:
        while capture.grab():
            if number % step == 0:
                read, bgr = capture.retrieve()
                if read:
                    yield Item(name, path, number, round(clock(), 3), cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))
            number += 1
    finally:
        capture.release()


class VideoOutput:
    """An MP4 that appears under its name when it is complete."""

    def __init__(self, path: Path, rate: float) -> None:
        self.path = path
        self.rate = rate
        self._temporary = path.with_name(f".{path.stem}.{os.getpid()}.mp4")  # OpenCV goes by the ending
        self._writer: Any = None
        self._size = (0, 0)

    def write(self, pixels: NDArray[np.uint8]) -> None:
        """Add a frame, RGB uint8 (H, W, 3).

        Raises:
            UserError: OpenCV cannot write videos here.
        """
        import cv2

        if self._writer is None:
            self._size = (pixels.shape[1], pixels.shape[0])
            self.path.parent.mkdir(parents=True, exist_ok=True)
            code = cv2.VideoWriter.fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(str(self._temporary), code, self.rate, self._size)
            if not self._writer.isOpened():
                raise UserError(
                    f"{self.path} cannot be written: OpenCV has no MPEG-4 encoder here. Leave annotate out."
                )
        if (pixels.shape[1], pixels.shape[0]) != self._size:
            pixels = np.asarray(cv2.resize(pixels, self._size), dtype=np.uint8)
        self._writer.write(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))

    def close(self, *, complete: bool) -> None:
        """Give the video its name, or leave nothing behind."""
        if self._writer is None:
            return
        self._writer.release()
        self._writer = None
        if complete:
            self._temporary.replace(self.path)
        else:
            self._temporary.unlink(missing_ok=True)
