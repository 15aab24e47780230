"""Example faces for the page, drawn at startup by our own code: the project contains no photographs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gender_lightning.synthetic.faces import synthetic_faces

_SEED = 4


def drawn_faces(count: int) -> list[NDArray[np.uint8]]:
    """Draw `count` faces, RGB uint8 (218, 178, 3), alternating between the classes."""
    images, labels = synthetic_faces(8 * count, _SEED)
    rows = [int(np.flatnonzero(labels == place % 2)[place // 2]) for place in range(count)]
    return [images[row] for row in rows]
