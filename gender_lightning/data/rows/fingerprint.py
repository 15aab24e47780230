"""What tells one data set from another: a digest of its rows, and their numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from gender_lightning.data.sources.annotations import Index


def fingerprint_of(splits: Mapping[str, Index]) -> str:
    """SHA-256 of all splits' image names, labels and splits, in hexadecimal; the order of the rows does not matter."""
    digest = hashlib.sha256()
    for split, index in splits.items():
        digest.update(split.encode() + b"\n" + _lines(index) + b"\n")
    return digest.hexdigest()


def _lines(index: Index) -> bytes:
    """`<name> <label>` of each row, sorted by both, on a line each."""
    names, labels = index.image_ids, index.labels
    if not bool(np.all(names[1:] > names[:-1])):  # CelebA's are sorted, which is checked in a tenth of the time
        order = np.lexsort((labels, names))
        names, labels = names[order], labels[order]
    width = names.dtype.itemsize
    table = np.zeros((len(names), width + 3), dtype=np.uint8)
    table[:, :width] = np.ascontiguousarray(names).view(np.uint8).reshape(len(names), width)
    table[:, width] = ord(" ")
    table[:, width + 1] = ord("0") + labels
    table[:, width + 2] = ord("\n")
    return table[table > 0].tobytes()[:-1]  # zeros fill up the shorter names


def described(splits: Mapping[str, Index]) -> dict[str, Any]:
    """The fingerprint, and the number of images of each split, for `run.json` and dashboards."""
    return {"fingerprint": fingerprint_of(splits), **{split: len(index) for split, index in splits.items()}}
