"""Cross-validation over persons: train and valid divided into folds, one of which is valid."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from gender_lightning.data.rows.selection import order_of_persons
from gender_lightning.data.sources.annotations import Index
from gender_lightning.errors import UserError
from gender_lightning.runs import is_first_process

log = logging.getLogger(__name__)
_NO_PAIRS = np.empty((0, 2), dtype=np.int64)


def hold_out(index: Index, folds: int, fold: int, seed: int) -> Index:
    """Make one fold of train and valid the valid split and the others train; test stays as it is.

    Over all folds, every image of train and valid is in valid exactly once.

    Args:
        index: The rows of all splits.
        folds: Number of folds.
        fold: The one to hold out, from 1 to ``folds``.
        seed: Seed of the order of the persons; the same for all folds.

    Raises:
        UserError: There are fewer persons than folds.
    """
    rows = np.flatnonzero(index.partition < 2)
    learning = index.select(rows)
    _check_persons(learning, folds)
    partition = index.partition.copy()
    partition[rows] = fold_of(learning, _NO_PAIRS, folds, seed) == fold - 1
    return replace(index, partition=partition)


def fold_of(index: Index, pairs: NDArray[np.int64], folds: int, seed: int) -> NDArray[np.int64]:
    """The fold of each image: a person's images are in one fold, and so are duplicates.

    Folds have about as many images each, and men and women in about the proportion of all.

    Args:
        index: The images. Where identities are unknown, each counts as a person of its own.
        pairs: (P, 2), rows that belong together.
        folds: How many.
        seed: Seed of the order of the persons.

    Returns:
        (N,), from 0 on.
    """
    persons = np.arange(len(index)) if index.identities is None else np.unique(index.identities, return_inverse=True)[1]
    number = int(persons.max()) + 1
    edges = persons[pairs]
    graph = coo_array((np.ones(len(edges), dtype=np.int8), (edges[:, 0], edges[:, 1])), shape=(number, number))
    group = connected_components(graph, directed=False)[1][persons]
    sizes = np.bincount(group)
    order = order_of_persons(group, index.labels, np.random.default_rng(seed))
    middle = np.cumsum(sizes[order]) - sizes[order] / 2
    fold_of_group = np.empty(len(sizes), dtype=np.int64)
    fold_of_group[order] = np.minimum(middle * folds / len(index), folds - 1).astype(np.int64)
    folds_of_images: NDArray[np.int64] = fold_of_group[group]
    return folds_of_images


def _check_persons(learning: Index, folds: int) -> None:
    known = learning.identities is not None
    if not known and is_first_process():
        log.warning("The persons are unknown, so that a person's images may be in several folds.")
    persons = len(learning) if learning.identities is None else len(np.unique(learning.identities))
    if persons < folds:
        raise UserError(
            f"data.folds={folds}: train and valid have {persons} {'persons' if known else 'images'}.",
            "Ask for fewer folds.",
            field="data.folds",
        )
