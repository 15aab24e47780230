"""Faces to try the page with, drawn by our own code when it starts: no photograph travels with the project."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gender_lightning.synthetic.faces import synthetic_faces

_SEED = 4


def drawn_faces(count: int) -> list[NDArray[np.uint8]]:
    """So many drawn faces, RGB uint8 (218, 178, 3), of either class in turn."""
    images, labels = synthetic_faces(8 * count, _SEED)
    rows = [int(np.flatnonzero(labels == place % 2)[place // 2]) for place in range(count)]
    return [images[row] for row in rows]
