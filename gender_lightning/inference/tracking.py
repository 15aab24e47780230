"""Which faces of a video's frames are one person's, by where they are: boxes that overlap from frame to frame.

The simplest tracker that works (IoU tracker, Bochinski, Eiselein and Sikora 2017). It compares places only, never
faces, so that nobody can be recognised by it: someone who leaves the picture and returns is another track, and so is
everyone after a cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

LEAST_OVERLAP = 0.3  # intersection over union of a face's boxes in two frames
LONGEST_GAP = 1.0  # seconds that a face may be missed


@dataclass
class _Track:
    box: NDArray[np.float64]
    second: float


@dataclass
class Tracker:
    """The tracks of one video, fed frame by frame in order of time; only the last second's boxes are kept.

    Attributes:
        begun: Number of tracks so far.
    """

    begun: int = 0
    _tracks: dict[int, _Track] = field(default_factory=dict)

    def forget(self) -> None:
        """Begin every face anew: after a cut somebody else may be in the same place."""
        self._tracks = {}

    def take(self, boxes: Sequence[tuple[float, float, float, float]], second: float) -> list[int]:
        """The track of each face of a frame, numbered from 0 within the video.

        Args:
            boxes: Left, top, width and height of each face, in pixels.
            second: Time of the frame, not before the last one's.
        """
        self._tracks = {key: track for key, track in self._tracks.items() if second - track.second <= LONGEST_GAP}
        now = np.array(boxes, dtype=np.float64).reshape(-1, 4)
        known = list(self._tracks)
        overlap = overlaps(np.array([self._tracks[key].box for key in known]).reshape(-1, 4), now)
        found = dict.fromkeys(range(len(now)), -1)
        for row, column in zip(*linear_sum_assignment(-overlap), strict=True):
            if overlap[row, column] >= LEAST_OVERLAP:
                found[int(column)] = known[int(row)]
        for place, box in enumerate(now):
            if found[place] < 0:
                found[place] = self.begun
                self.begun += 1
            self._tracks[found[place]] = _Track(box, second)
        return [found[place] for place in range(len(now))]


def overlaps(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union (A, B) of boxes (A, 4) and (B, 4): left, top, width, height."""
    corner = np.maximum(first[:, None, :2], second[None, :, :2])
    opposite = np.minimum((first[:, :2] + first[:, 2:])[:, None], (second[:, :2] + second[:, 2:])[None])
    common = np.prod(np.clip(opposite - corner, 0.0, None), axis=2)
    area = np.prod(first[:, 2:], axis=1)[:, None] + np.prod(second[:, 2:], axis=1)[None] - common
    shares: NDArray[np.float64] = np.divide(common, area, out=np.zeros_like(common), where=area > 0)
    return shares
