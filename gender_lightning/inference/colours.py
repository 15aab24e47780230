"""Notices arrays in BGR order, as OpenCV reads pictures, by the colour of the faces."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

# Skin of every tone reflects more red than blue. Of 2,500 faces (CelebA, UTKFace, the web) one, under blue light, has
# more blue than red by this share of its brightness; with swapped channels 95 % do, and most of the others are grey.
_CLEARLY = 0.15


class ChannelOrder:
    """Counts reddish and bluish faces in arrays, and warns once if most of them are bluish."""

    def __init__(self) -> None:
        self._red = self._blue = 0
        self._warned = False

    def take(self, faces: Iterable[NDArray[np.uint8]]) -> None:
        """Count faces cut from arrays, each uint8 (S, S, 3), as the network sees them."""
        for face in faces:
            side = len(face)
            middle = face[side * 3 // 8 : side * 11 // 16 + 1, side * 5 // 16 : side * 11 // 16 + 1]
            red, green, blue = middle.reshape(-1, 3).mean(axis=0).tolist()
            excess = 3 * (red - blue) / max(red + green + blue, 1.0)
            self._red += excess > _CLEARLY
            self._blue += excess < -_CLEARLY

    def warn(self) -> None:
        """Warn, once, if the arrays are likely to be BGR."""
        if self._blue > self._red and not self._warned:
            self._warned = True
            warnings.warn(
                f"The arrays are likely BGR, as OpenCV reads pictures: {self._blue} of {self._red + self._blue} faces "
                "with colour are blue. RGB is expected: pass image[..., ::-1], or the path of the file.",
                UserWarning,
                stacklevel=4,  # the line that calls `predict`
            )
