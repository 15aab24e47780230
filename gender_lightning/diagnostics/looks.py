"""The faces behind the numbers: telling images with heat maps, the mean map of each class, and the mistakes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import starmap
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gender_lightning.data.dataset import FaceDataset
from gender_lightning.diagnostics import gallery
from gender_lightning.diagnostics.saliency import Maps, find_layer, heat_maps, mean_maps
from gender_lightning.models.checkpoints.checkpoint import Network

if TYPE_CHECKING:
    import pandas as pd

MISTAKES, TELLING, MEAN_IMAGES = 24, 6, 64
_BATCH = 32


@dataclass(frozen=True)
class Look:
    """One image in the report.

    Attributes:
        image_id: File name.
        label: 1 male.
        said: 1 if the model decides male, at a threshold of 0.5.
        probability: Probability of male.
        loss: Cross-entropy in nats.
        face: uint8 (S, S, 3), as the network sees it.
        heat: Evidence for the decision, float32 (S, S) in 0..1; None in the gallery of mistakes.
    """

    image_id: str
    label: int
    said: int
    probability: float
    loss: float
    face: NDArray[np.uint8]
    heat: Maps | None = None


@dataclass(frozen=True)
class Looks:
    """All images shown in the report of one evaluation.

    Attributes:
        telling: The images of each kind: surest right, surest wrong, least sure.
        mistakes: The mistakes with the largest loss.
        mistakes_in_all: The number of all mistakes.
        means: The mean face, uint8 (S, S, 3), and the mean heat map for each class name.
        mean_images: Maximum number of images of each class in a mean.
        cells: Side length of the feature map that the heat maps come from.
        method: Grad-CAM or LayerCAM.
        why_not: The reason why there are no maps; empty if there are maps.
    """

    telling: dict[str, list[Look]]
    mistakes: list[Look]
    mistakes_in_all: int
    means: dict[str, tuple[NDArray[np.uint8], Maps]] = field(default_factory=dict)
    mean_images: int = MEAN_IMAGES
    cells: int = 0
    method: str = ""
    why_not: str = ""


def look(
    network: Network, dataset: FaceDataset, table: pd.DataFrame, advance: Callable[[int], object] = lambda images: None
) -> Looks:
    """Select and read the images, and compute their heat maps.

    Args:
        network: In evaluation mode and float32, on the device to use.
        dataset: The split.
        table: The predictions for the split, in the same order.
        advance: Called with the number of maps computed since the last call; their sum is at most `maps_at_most`.
    """
    chosen, wrong = gallery.telling(table, TELLING), gallery.mistakes(table)
    mistakes = _looks(dataset, wrong.head(MISTAKES), None)
    try:
        layer = find_layer(network, _images(dataset, [0, len(dataset) - 1]).to(_device(network)))
    except ValueError as error:
        shown = {kind: _looks(dataset, rows, None) for kind, rows in chosen.items()}
        return Looks(shown, mistakes, len(wrong), why_not=f"{error}.")
    shown = {}
    for kind, rows in chosen.items():
        maps = _maps(network, dataset, rows) if len(rows) else None
        shown[kind] = _looks(dataset, rows, maps)
        advance(len(rows))
    means = _means(network, dataset, table, advance)
    return Looks(shown, mistakes, len(wrong), means, cells=layer.side, method=layer.method)


def _device(network: Network) -> torch.device:
    return next(network.parameters()).device


def _images(dataset: FaceDataset, rows: list[int]) -> Tensor:
    return dataset.__getitems__(rows).images


def _faces(dataset: FaceDataset, images: Tensor) -> Tensor:
    """What is shown of the images: of several framings side by side the first one."""
    return dataset.framing.views(images)[0]


def _maps(network: Network, dataset: FaceDataset, rows: pd.DataFrame) -> Maps:
    return heat_maps(network, _images(dataset, rows["row"].tolist()), torch.from_numpy(rows["said"].to_numpy() == 1))


def _looks(dataset: FaceDataset, rows: pd.DataFrame, maps: Maps | None) -> list[Look]:
    if not len(rows):
        return []
    faces = _faces(dataset, _images(dataset, rows["row"].tolist())).permute(0, 2, 3, 1).numpy()
    heats = [None] * len(rows) if maps is None else list(maps)
    columns = (rows[name].tolist() for name in ("image_id", "label", "said", "probability", "loss"))
    return list(starmap(Look, zip(*columns, faces, heats, strict=True)))


def _means(
    network: Network, dataset: FaceDataset, table: pd.DataFrame, advance: Callable[[int], object]
) -> dict[str, tuple[NDArray[np.uint8], Maps]]:
    labels = table["label"].to_numpy()
    rows = np.sort(np.concatenate([_spread(np.flatnonzero(labels == label)) for label in (0, 1)]))
    sums: dict[int, NDArray[np.float64]] = {}
    counts = {0: 0, 1: 0}

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(0, len(rows), _BATCH):
            batch = dataset.__getitems__(rows[start : start + _BATCH].tolist())
            for label in (0, 1):
                part = _faces(dataset, batch.images)[batch.labels == label].double()
                if len(part):
                    sums[label] = sums.get(label, 0) + part.sum(0).permute(1, 2, 0).numpy()
                    counts[label] += len(part)
            yield batch.images, batch.labels
            advance(len(batch.labels))

    maps = mean_maps(network, batches())
    names = network.spec.class_names
    return {names[label]: ((sums[label] / counts[label]).astype(np.uint8), maps[names[label]]) for label in sums}


def maps_at_most(dataset: FaceDataset) -> int:
    """How many maps `look` draws, for a progress bar; a few less where there are few mistakes."""
    males = int((dataset.index.labels == 1).sum())
    return min(males, MEAN_IMAGES) + min(len(dataset) - males, MEAN_IMAGES) + 3 * TELLING


def _spread(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    if len(rows) <= MEAN_IMAGES:
        return rows
    return rows[np.unique(np.linspace(0, len(rows) - 1, MEAN_IMAGES).round().astype(np.int64))]
