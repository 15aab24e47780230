"""Logits and features of many images by one network, kept block by block so that a killed audit continues."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from gender_lightning.data.dataset import Cut, FaceDataset, keep_batch, start_worker
from gender_lightning.data.sources.annotations import Index
from gender_lightning.data.sources.images import ImageStore
from gender_lightning.durable import writing
from gender_lightning.errors import UserError
from gender_lightning.inference.logits import Pass, predict_split
from gender_lightning.machine.hardware import Hardware, available_cores
from gender_lightning.models.checkpoints.checkpoint import Network
from gender_lightning.models.features import observed

log = logging.getLogger(__name__)

_BLOCK = 4096  # images between two savings
_BATCH = 128
_HALF = 60_000  # less than the largest number in half precision
Kind = TypeVar("Kind", bound=np.generic)


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
        logits = np.concatenate([logits, _seen(network, part, store, cut, hardware).logits])
        with writing(file, "wb") as kept:
            np.save(kept, logits)
        progress(len(logits), len(index))
    return logits


def describe(
    network: Network,
    index: Index,
    store: ImageStore,
    cut: Cut | None,
    hardware: Hardware,
    folder: Path,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> NDArray[np.float16]:
    """What the head receives of each image and its mirror image, on average.

    Arguments and errors are those of `judge`; `folder` keeps the features as `features-*/<number>.npy`.

    Returns:
        Shape (N, C), in the order of the index.
    """
    place = folder / f"features-{_key(network, index, store)}"
    place.mkdir(exist_ok=True)
    blocks: list[NDArray[np.float16]] = []
    for number, start in enumerate(range(0, len(index), _BLOCK)):
        rows = np.arange(start, min(start + _BLOCK, len(index)))
        file = place / f"{number:05d}.npy"
        block = _read(file, np.float16, 2)
        if block is None or len(block) != len(rows):
            block = _described(network, index.select(rows), store, cut, hardware)
            with writing(file, "wb") as kept:
                np.save(kept, block)
        blocks.append(block)
        progress(int(rows[-1]) + 1, len(index))
    return np.concatenate(blocks)


def _described(
    network: Network, index: Index, store: ImageStore, cut: Cut | None, hardware: Hardware
) -> NDArray[np.float16]:
    with observed(network.net) as features:

        def both(pixels: Tensor) -> Tensor:
            if not network.spec.test_time_flip:  # then the network has seen the picture alone
                with hardware.autocast():
                    network(pixels.flip(-1))
            return features.take().clamp(-_HALF, _HALF)

        found = _seen(network, index, store, cut, hardware, both).measured
    return found.astype(np.float16)


def _seen(
    network: Network,
    index: Index,
    store: ImageStore,
    cut: Cut | None,
    hardware: Hardware,
    measure: Callable[[Tensor], Tensor] | None = None,
) -> Pass:
    """One pass over these images."""
    workers = available_cores() if len(index) > 4 * _BATCH else 0
    loader = DataLoader(
        FaceDataset(index, store, network.spec.framing, cut),
        batch_size=_BATCH,
        collate_fn=keep_batch,
        num_workers=workers,
        pin_memory=hardware.device_type == "cuda",
        worker_init_fn=start_worker if workers else None,
    )
    found = predict_split(network.eval(), loader, len(index), hardware, measure=measure)
    if not (np.isfinite(found.logits).all() and np.isfinite(found.measured).all()):
        raise UserError(
            "The checkpoint does not give a number for every image: its training has diverged.",
            "Use another checkpoint.",
            field="checkpoint",
        )
    return found


def _key(network: Network, index: Index, store: ImageStore) -> str:
    """Changes with the weights, the framing and the pictures."""
    digest = hashlib.sha256(repr(network.spec).encode())
    for name, weights in network.state_dict().items():
        digest.update(name.encode() + weights.detach().cpu().float().numpy().tobytes())
    digest.update(index.image_ids.tobytes() + store.fingerprint(index.image_ids))
    return digest.hexdigest()[:20]


def _kept(file: Path, most: int) -> NDArray[np.float32]:
    """The logits of an earlier audit; none where the file is missing or damaged."""
    logits = _read(file, np.float32, 1)
    return np.zeros(0, dtype=np.float32) if logits is None or len(logits) > most else logits


def _read(file: Path, kind: type[Kind], dimensions: int) -> NDArray[Kind] | None:
    """Finite numbers that are kept; None where the file is missing, damaged or of something else."""
    if not file.is_file():
        return None
    try:
        found: NDArray[Kind] = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError, MemoryError, TypeError) as error:
        log.info("%s is unreadable (%s): its images are looked at again.", file, error)
        return None
    fits = found.dtype == kind and found.ndim == dimensions and np.isfinite(found).all()
    return found if fits else None
