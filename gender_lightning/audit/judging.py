"""Logits of many images by one network, kept block by block so that a killed audit continues."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from gender_lightning.data.annotations import Index
from gender_lightning.data.dataset import Cut, FaceDataset, keep_batch, start_worker
from gender_lightning.data.images import ImageStore
from gender_lightning.durable import writing
from gender_lightning.errors import UserError
from gender_lightning.hardware import Hardware, available_cores
from gender_lightning.inference.logits import predict_split
from gender_lightning.models.checkpoint import Network

log = logging.getLogger(__name__)

_BLOCK = 4096  # images between two savings
_BATCH = 128


def judge(
    network: Network,
    index: Index,
    store: ImageStore,
    cut: Cut | None,
    hardware: Hardware,
    folder: Path,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> NDArray[np.float32]:
    """Logits of class male.

    Args:
        network: The judge.
        index: The images, all of which decode.
        store: Their files.
        cut: Finds the face in a picture; None: pictures are used as they are.
        hardware: Device and precision.
        folder: Keeps the logits as `judged-*.npy`.
        progress: Called with (images done, images in all).

    Returns:
        Shape (N,), in the order of the index.

    Raises:
        UserError: The network gives something other than a number.
    """
    file = folder / f"judged-{_key(network, index, store)}.npy"
    logits = _kept(file, len(index))
    for start in range(len(logits), len(index), _BLOCK):
        part = index.select(np.arange(start, min(start + _BLOCK, len(index))))
        dataset = FaceDataset(part, store, network.spec.framing, cut)
        workers = available_cores() if len(part) > 4 * _BATCH else 0
        loader = DataLoader(
            dataset,
            batch_size=_BATCH,
            collate_fn=keep_batch,
            num_workers=workers,
            worker_init_fn=start_worker if workers else None,
        )
        found = predict_split(network.eval(), loader, len(part), hardware).logits
        if not np.isfinite(found).all():
            raise UserError(
                "The checkpoint does not give a number for every image: its training has diverged.",
                "Use another checkpoint.",
                field="checkpoint",
            )
        logits = np.concatenate([logits, found])
        with writing(file, "wb") as kept:
            np.save(kept, logits)
        progress(len(logits), len(index))
    return logits


def _key(network: Network, index: Index, store: ImageStore) -> str:
    """Changes with the weights, the framing and the pictures."""
    digest = hashlib.sha256(repr(network.spec).encode())
    for name, weights in network.state_dict().items():
        digest.update(name.encode() + weights.detach().cpu().float().numpy().tobytes())
    digest.update(index.image_ids.tobytes() + store.fingerprint(index.image_ids))
    return digest.hexdigest()[:20]


def _kept(file: Path, most: int) -> NDArray[np.float32]:
    """The logits of an earlier audit; none where the file is missing or damaged."""
    none = np.zeros(0, dtype=np.float32)
    if not file.is_file():
        return none
    try:
        logits = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError, MemoryError, TypeError) as error:
        log.info("%s is unreadable (%s): its images are judged again.", file, error)
        return none
    fits = logits.dtype == np.float32 and logits.ndim == 1 and len(logits) <= most and np.isfinite(logits).all()
    return logits if fits else none
