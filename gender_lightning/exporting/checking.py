"""Comparison of an exported file with its checkpoint on real pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gender_lightning.data.dataset import Cut, FaceDataset
from gender_lightning.data.decoding import decode, frame
from gender_lightning.data.sources.annotations import Index
from gender_lightning.data.sources.images import ImageStore
from gender_lightning.exporting.files import Function
from gender_lightning.inference.predictor import Predictor

Picture = NDArray[np.uint8]  # (H, W, 3)
TOLERANCE = 1e-4  # largest allowed difference of a probability


@dataclass(frozen=True)
class ExportCheck:
    """Absolute differences between what file and checkpoint say (see `Function`), at one batch size."""

    batch_size: int
    images: int
    largest: float
    mean: float


def pictures_of(index: Index, store: ImageStore, count: int, cut: Cut | None = None) -> list[Picture]:
    """`count` pictures, evenly spread over the index, decoded but not framed, or the faces that `cut` takes of them."""
    rows = np.unique(np.linspace(0, len(index) - 1, min(count, len(index))).round().astype(np.intp))
    ids = index.image_ids[rows]
    pictures = [decode(store.read(id_), path=store.describe(id_)) for id_ in ids]
    return pictures if cut is None else [cut(picture, bytes(id_)) for picture, id_ in zip(pictures, ids, strict=True)]


def compare(
    exported: Function, predictor: Predictor, pictures: Sequence[Picture], batch_sizes: Iterable[int]
) -> list[ExportCheck]:
    """Run every picture through the exported file and the checkpoint, in batches of each size.

    For the checkpoint, a picture is framed by `data.decoding` and then passes through the network, as in training and
    prediction. The pictures of a batch are cut to their smallest height and width, since an array has one size.
    """
    agreements = []
    for size in batch_sizes:
        differences = []
        for batch in _batches(pictures, size):
            faces = np.stack([frame(picture, predictor.framing) for picture in batch])
            answers = predictor.answers(faces)
            expected = [[answer.probability for answer in answers]]
            if len(predictor.network.members) > 1:
                expected.append([answer.disagreement or 0.0 for answer in answers])
            differences.append(np.abs(exported(batch.transpose(0, 3, 1, 2).copy()) - expected))
        joined = np.concatenate(differences, axis=1)
        agreements.append(ExportCheck(size, joined.shape[1], float(joined.max()), float(joined.mean())))
    return agreements


def _batches(pictures: Sequence[Picture], size: int) -> Iterator[Picture]:
    """Arrays (size, H, W, 3), each picture once; if there are too few for a batch, pictures are repeated."""
    for start in range(0, max(1, len(pictures) - size + 1), size):
        group = [pictures[(start + place) % len(pictures)] for place in range(size)]
        height, width = (min(picture.shape[axis] for picture in group) for axis in (0, 1))
        yield np.stack([picture[:height, :width] for picture in group])


def accuracy(exported: Function, dataset: FaceDataset, threshold: float, batch_size: int = 64) -> tuple[float, float]:
    """Balanced accuracy and accuracy of an exported file on labelled faces, decided at its threshold."""
    decided, labels = np.zeros(len(dataset), dtype=np.bool_), dataset.index.labels.astype(np.bool_)
    for start in range(0, len(dataset), batch_size):
        rows = range(start, min(start + batch_size, len(dataset)))
        faces = dataset.__getitems__(rows).images.numpy()
        decided[start : start + len(faces)] = exported(faces)[0] >= threshold
    right = decided == labels
    return float((right[labels].mean() + right[~labels].mean()) / 2), float(right.mean())
