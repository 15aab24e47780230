"""A whole split through a network, without a trainer."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from gender_lightning.console import console
from gender_lightning.data.dataset import Batch
from gender_lightning.models.checkpoint import Network
from gender_lightning.training.hardware import Hardware


@torch.inference_mode()
def predict_logits(network: Network, batches: Iterable[Batch], images: int, hardware: Hardware) -> NDArray[np.float32]:
    """Logits of class male, float32 (images,), in the order of the split's index.

    Args:
        network: In evaluation mode; moved to the device.
        batches: Each row of the split at least once.
        images: Rows of the split.
        hardware: Device, precision and memory format.
    """
    device = torch.device(hardware.device_type)
    network = network.to(device).to(memory_format=hardware.memory_format)
    logits, predicted = np.zeros(images, dtype=np.float32), np.zeros(images, dtype=np.bool_)
    columns = ("[progress.description]{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("predicting", total=images)
        for batch in batches:
            pixels = batch.images.to(device, non_blocking=True)
            with hardware.autocast():
                logits[batch.indices.numpy()] = network(pixels).float().cpu().numpy()
            predicted[batch.indices.numpy()] = True
            progress.advance(task, len(batch.indices))
    assert predicted.all(), "each image of the split is predicted"
    return logits
