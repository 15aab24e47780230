"""Persons whose images are labelled differently: a wrong label, or a wrong identity; the files cannot say which."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def contradicted(labels: ArrayLike, identities: ArrayLike) -> NDArray[np.bool_]:
    """Images whose label differs from that of most images of the same person; all of them where it is a draw.

    Args:
        labels: (N,), 1 male, 0 female.
        identities: (N,), whole numbers, or anything else that can be sorted.

    Returns:
        Shape (N,).
    """
    male = np.asarray(labels).astype(np.bool_)
    _, person = np.unique(np.asarray(identities), return_inverse=True)
    images = np.bincount(person, minlength=1)
    males = np.bincount(person, male, minlength=1)
    fewer = np.where(male, 2 * males[person] <= images[person], 2 * (images - males)[person] <= images[person])
    mixed: NDArray[np.bool_] = (males > 0)[person] & (males < images)[person] & fewer
    return mixed


def fewest_wrong(labels: ArrayLike, identities: ArrayLike) -> tuple[int, int]:
    """(images, persons): the fewest images that must be wrong for all labels of each person to agree."""
    male = np.asarray(labels).astype(np.bool_)
    _, person = np.unique(np.asarray(identities), return_inverse=True)
    images = np.bincount(person, minlength=1)
    males = np.bincount(person, male, minlength=1).astype(np.int64)
    fewer = np.minimum(males, images - males)
    return int(fewer.sum()), int((fewer > 0).sum())
