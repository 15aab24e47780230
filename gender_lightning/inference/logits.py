"""A whole split through a network, without a trainer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gender_lightning.data.dataset import Batch
from gender_lightning.machine.hardware import Hardware
from gender_lightning.models.checkpoints.checkpoint import Network


@dataclass(frozen=True)
class Pass:
    """The results of one pass over a split, in the order of its index.

    Attributes:
        logits: Logits of class male, float32 (N,).
        measured: Properties measured on the pictures, float32 (N, P); P may be 0.
        disagreement: Of an ensemble, `mutual_information` in nats, float32 (N,); None for a single network.
    """

    logits: NDArray[np.float32]
    measured: NDArray[np.float32]
    disagreement: NDArray[np.float32] | None = None


@torch.inference_mode()
def predict_split(
    network: Network,
    batches: Iterable[Batch],
    images: int,
    hardware: Hardware,
    *,
    measure: Callable[[Tensor], Tensor] | None = None,
    advance: Callable[[int], None] = lambda done: None,
) -> Pass:
    """Logits of a split, with properties of its pictures measured in the same pass, so that each is decoded once.

    Args:
        network: A network in evaluation mode; it is moved to the device.
        batches: Batches that contain each row of the split at least once.
        images: Number of rows of the split.
        hardware: Device, precision and memory format.
        measure: Maps pictures, uint8 (B, 3, S, S) on the device, to properties, float32 (B, P).
        advance: Called after each batch with the number of its images.
    """
    device = torch.device(hardware.device_type)
    network = network.to(device).to(memory_format=hardware.memory_format)
    logits, predicted = np.zeros(images, dtype=np.float32), np.zeros(images, dtype=np.bool_)
    measured: NDArray[np.float32] | None = None
    disagreement = np.zeros(images, dtype=np.float32) if len(network.members) > 1 else None
    for batch in batches:
        pixels, rows = batch.images.to(device, non_blocking=True), batch.indices.numpy()
        with hardware.autocast():
            answers, disagreements = network.logits_and_disagreement(pixels)
        logits[rows] = answers.float().cpu().numpy()
        if disagreement is not None and disagreements is not None:
            disagreement[rows] = disagreements.float().cpu().numpy()
        if measure is not None:
            values = measure(network.spec.framing.views(pixels)[0]).cpu().numpy()
            measured = np.zeros((images, values.shape[1]), dtype=np.float32) if measured is None else measured
            measured[rows] = values
        predicted[rows] = True
        advance(len(rows))
    assert predicted.all(), "each image of the split is predicted"
    return Pass(logits, np.zeros((images, 0), dtype=np.float32) if measured is None else measured, disagreement)
