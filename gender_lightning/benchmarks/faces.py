"""The pictures that a benchmark reads, the same for our way and the common one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from gender_lightning.data.dataset import FaceDataset
from gender_lightning.data.sources.images import ZipStore


@dataclass(frozen=True)
class BenchmarkFaces:
    """Training images to measure on.

    Attributes:
        dataset: The training split, as `train` reads it.
        rows: The rows of the dataset that are used.
        paths: The files of these rows, for the common way.
        labels: The labels of these rows: 1 male, 0 female.
    """

    dataset: FaceDataset
    rows: Sequence[int]
    paths: Sequence[str]
    labels: Sequence[int]


@contextmanager
def some_faces(dataset: FaceDataset, most: int) -> Iterator[BenchmarkFaces]:
    """Select up to `most` evenly spread rows in a fixed random order; a zip is unpacked for the common way."""
    count = min(most, len(dataset))
    rows = np.linspace(0, len(dataset) - 1, count).astype(int)
    rows = np.random.default_rng(0).permutation(rows).tolist()
    ids = [dataset.index.image_ids[row] for row in rows]
    labels = [int(dataset.index.labels[row]) for row in rows]
    if not isinstance(dataset.store, ZipStore):
        yield BenchmarkFaces(dataset, rows, [dataset.store.describe(image_id) for image_id in ids], labels)
        return
    with TemporaryDirectory(prefix="gender_lightning_") as folder:
        paths = [Path(folder) / f"{number:06d}.jpg" for number in range(count)]
        for path, image_id in zip(paths, ids, strict=True):
            path.write_bytes(dataset.store.read(image_id))
        yield BenchmarkFaces(dataset, rows, [str(path) for path in paths], labels)


def batches(count: int, size: int) -> Iterator[list[int]]:
    """Yield the positions 0 .. count - 1 in batches of `size`, cycling endlessly."""
    start = 0
    while True:
        yield [(start + offset) % count for offset in range(size)]
        start = (start + size) % count
