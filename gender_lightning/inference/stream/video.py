"""Frames read from videos and cameras, and written to a video."""

from __future__ import annotations

import glob
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gender_lightning.durable import publish, temporary_name
from gender_lightning.errors import UserError
from gender_lightning.inference.stream.items import Item

VIDEOS = frozenset((".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".ts", ".3gp"))
_USUAL_RATE = 25.0  # frames per second, for a file that does not give its rate
_TOLERANCE = 0.02  # share of a file's own frame count by which it may be wrong
# VP9 in MP4: Chromium and Firefox play it, and OpenCV's wheels can write it, unlike H.264. A system's own OpenCV may
# lack VP9: then MPEG-4 part 2, which no browser plays.
_CODECS = ("vp09", "mp4v")
# Mean difference of hue, saturation and value between two frames of a video, 0 to 255, from which on there is a cut
# between them: the default of PySceneDetect's ContentDetector.
_CUT = 27.0
_THUMBNAIL = (64, 36)  # width and height at which frames are compared, in pixels


def is_video(path: str) -> bool:
    """Whether a path has the extension of a video."""
    return Path(path).suffix.lower() in VIDEOS


def video_frames(path: str, step: int = 1, missing: Callable[[int], None] = lambda frames: None) -> Iterator[Item]:
    """Every `step`-th frame of a video file, upright; if there is none, a single item that says why.

    Args:
        path: The file.
        step: 1 for every frame, 2 for every second one, and so on.
        missing: Called with the number of frames that the file announces but that do not decode.
    """
    import cv2

    name = os.fsencode(path).decode("utf-8", "backslashreplace")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # quiet: the rows say in words what FFmpeg prints in codes
    capture = cv2.VideoCapture(path)
    if not capture.isOpened():
        why = "it cannot be opened" if os.path.isfile(path) else "there is no such file"
        problem = f"{path} is not a video that OpenCV can read ({why}). Convert it to MP4 (H.264)."
        yield Item(name, path, problem=problem)
        return
    promised = round(float(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
    counts = FrameCounts()
    yield from _frames(capture, name, path, step, lambda: float(capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000, counts)
    if not counts.decoded:
        yield Item(name, path, problem=f"{path} contains no frame that decodes. Replace it, or leave it out.")
    lost = promised - counts.grabbed  # the file's own count is only an estimate if it comes from its duration
    lost = lost if lost > max(1, promised * _TOLERANCE) else 0
    if lost + counts.undecoded:
        missing(lost + counts.undecoded)


@dataclass
class FrameCounts:
    """Numbers of a video's frames so far."""

    grabbed: int = 0
    decoded: int = 0
    undecoded: int = 0


def camera_frames(number: int, step: int = 1) -> Iterator[Item]:
    """Frames of a camera, until Ctrl-C, timed in seconds since the first, since drivers' own clocks differ.

    Raises:
        UserError: There is no such camera.
    """
    import cv2

    capture = cv2.VideoCapture(number)
    if not capture.isOpened():
        raise UserError(
            f"input=camera:{number}: there is no such camera, or it is in use.",
            "Try camera:0 or a video file.",
            field="input",
        )
    start = time.monotonic()
    yield from _frames(capture, f"camera:{number}", "", step, lambda: time.monotonic() - start, FrameCounts())


def frame_rate(path: str) -> float:
    """Frames per second of a video file, as stated in the file."""
    import cv2

    capture = cv2.VideoCapture(path)
    rate = float(capture.get(cv2.CAP_PROP_FPS))
    capture.release()
    return rate if 0 < rate <= 1000 else _USUAL_RATE


def _frames(
    capture: Any, name: str, path: str, step: int, clock: Callable[[], float], counts: FrameCounts
) -> Iterator[Item]:
    import cv2

    before = None
    try:
        while capture.grab():
            if counts.grabbed % step == 0:
                read, bgr = capture.retrieve()
                counts.decoded += read
                counts.undecoded += not read
                if read:
                    pixels = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)
                    now = cv2.cvtColor(cv2.resize(bgr, _THUMBNAIL, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2HSV)
                    cut = before is not None and float(cv2.absdiff(now, before).mean()) > _CUT
                    before = now
                    yield Item(name, path, counts.grabbed, round(clock(), 3), pixels, cut=cut)
            counts.grabbed += 1
    finally:
        capture.release()


class FrameReader:
    """Reads single frames of video files by number; for a later frame of the same file, it continues where it is.

    OpenCV's own seek is off by several frames in some files.
    """

    def __init__(self) -> None:
        self._path = ""
        self._capture: Any = None
        self._next = 0

    def read(self, path: str, frame: int) -> NDArray[np.uint8]:
        """A frame as `video_frames` yields it, RGB uint8 (H, W, 3), upright.

        Raises:
            UserError: The file cannot be opened here, or the frame does not decode.
        """
        import cv2

        if path != self._path or frame < self._next:
            self.close()
            self._capture, self._path = cv2.VideoCapture(path), path
        while self._next <= frame:
            if not self._capture.grab():
                raise UserError(
                    f"Frame {frame} of {path} does not decode here.",
                    "Check that every machine has the same file at this path.",
                )
            self._next += 1
        read, bgr = self._capture.retrieve()
        if not read:
            raise UserError(f"Frame {frame} of {path} does not decode.", "Replace the file, or leave it out.")
        return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)

    def close(self) -> None:
        """Close the file."""
        if self._capture is not None:
            self._capture.release()
        self._path, self._capture, self._next = "", None, 0


class VideoOutput:
    """An MP4 file that gets its name when it is complete."""

    def __init__(self, path: Path, rate: float) -> None:
        self.path = path
        self.rate = rate
        self._temporary = temporary_name(path, ".mp4")  # OpenCV chooses the format by the extension
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
            for stale in self.path.parent.glob(f".{glob.escape(self.path.name)}.*.mp4"):
                stale.unlink(missing_ok=True)  # left by a job that was killed
            for codec in _CODECS:
                code = cv2.VideoWriter.fourcc(*codec)
                self._writer = cv2.VideoWriter(str(self._temporary), code, self.rate, self._size)
                if self._writer.isOpened():
                    break
            else:
                raise UserError(
                    f"{self.path} cannot be written: OpenCV has no encoder for MP4 here.", "Leave annotate=true out."
                )
        if (pixels.shape[1], pixels.shape[0]) != self._size:
            pixels = np.asarray(cv2.resize(pixels, self._size), dtype=np.uint8)
        self._writer.write(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))

    def close(self, *, complete: bool) -> None:
        """Give a complete video its name; discard an incomplete one."""
        if self._writer is None:
            return
        self._writer.release()
        self._writer = None
        if complete:
            publish(self._temporary, self.path)
        else:
            self._temporary.unlink(missing_ok=True)
