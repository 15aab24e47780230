"""What `train` and `refit` write into their best checkpoint about valid, beside the weights."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from gender_lightning.data.dataset import FaceDataset
from gender_lightning.errors import UserError
from gender_lightning.evaluation.statistics.intervals import clusters_of
from gender_lightning.inference.domain import Domain, describable
from gender_lightning.machine.hardware import Hardware
from gender_lightning.models.checkpoints.checkpoint import Network
from gender_lightning.models.features import observed

if TYPE_CHECKING:
    import pandas as pd

MOST_IMAGES = 3000  # whose features are looked at
_BATCH = 64
log = logging.getLogger(__name__)


def remember_valid(
    network: Network,
    dataset: FaceDataset,
    places: NDArray[np.int64],
    table: pd.DataFrame,
    hardware: Hardware,
    threshold: float,
) -> Mapping[str, Any] | None:
    """Describe valid for `update_spec`, at the cost of another pass over at most 3,000 of its images.

    Args:
        network: The best weights, with the temperature in their spec.
        dataset: The split.
        places: (N,), row of the split of each row of the table.
        table: Predictions on it, as of `predictions_table`.
        hardware: Device and precision of the predictions.
        threshold: The checkpoint's.

    Returns:
        None if valid has too few persons, or if a picture can no longer be read.
    """
    return remembered(
        table["label"].to_numpy(np.int64),
        table["logit"].to_numpy(np.float64),
        clusters_of(table["identity"].array, len(table)),
        lambda rows: _features(network, dataset, places[rows], hardware),
        temperature=network.spec.temperature,
        threshold=threshold,
    )


def remembered(
    labels: NDArray[np.int64],
    logits: NDArray[np.float64],
    clusters: NDArray[np.int64],
    features_of: Callable[[NDArray[np.int64]], NDArray[np.float32]],
    *,
    temperature: float,
    threshold: float,
) -> Mapping[str, Any] | None:
    """Describe images from which a confidence is chosen.

    Args:
        labels: (N,), 1 male, 0 female.
        logits: (N,).
        clusters: (N,), which images are of one person.
        features_of: Gives the features, float32 (M, C), of M of these rows; it may raise `UserError`.
        temperature: The checkpoint's.
        threshold: The checkpoint's.

    Returns:
        None if there are too few persons, or if a picture can no longer be read.
    """
    rows = np.arange(len(labels))
    if len(rows) > MOST_IMAGES:
        rows = np.sort(np.random.default_rng(0).choice(rows, MOST_IMAGES, replace=False))
    if not np.isfinite(logits).all() or not describable(labels, clusters, rows):
        return None
    try:
        features = features_of(rows)
    except UserError as error:
        log.warning("The checkpoint does not remember its valid split: %s", error.problem)
        return None
    if not np.isfinite(features).all():
        return None
    domain = Domain.of(labels, logits, clusters, rows, features, temperature=temperature, threshold=threshold)
    return None if domain is None else domain.to_dict()


@torch.inference_mode()
def _features(
    network: Network, dataset: FaceDataset, places: NDArray[np.int64], hardware: Hardware
) -> NDArray[np.float32]:
    """What the head receives of some images, float32 (N, C)."""
    trains = network.training
    network = network.to(hardware.device_type).to(memory_format=hardware.memory_format).eval()
    found = []
    with observed(network.net) as seen:
        for start in range(0, len(places), _BATCH):
            pixels = dataset.__getitems__(places[start : start + _BATCH].tolist()).images.to(hardware.device_type)
            with hardware.autocast():
                network(pixels)
            found.append(seen.take().cpu().numpy())
    network.train(trains)
    return np.concatenate(found)
