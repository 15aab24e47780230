"""Features of a split, computed once and kept beside the run, block by block, so that a killed command continues."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gender_lightning.data.datamodule import FaceDataModule
from gender_lightning.data.pixel_cache import digest
from gender_lightning.durable import writing
from gender_lightning.errors import UserError
from gender_lightning.inference.faces.located import Located
from gender_lightning.machine.hardware import Hardware
from gender_lightning.models.checkpoints.checkpoint import Network
from gender_lightning.models.last_layer import LastLayer, features_and_logits, find_last_layer

log = logging.getLogger(__name__)

FOLDER = "features"  # within the run
_BLOCK = 2048  # images of a file
_LOOKED_AT = 4  # images that show where the features are
_VERSION = 1  # of the files: raise it when the same network gives other features
# what decides how images become features; temperature, threshold and the like do not
_PARTS_OF_SPEC = ("backbone", "framing", "dropout", "arguments", "mean", "std", "test_time_flip", "test_time_zooms")


@dataclass(frozen=True)
class SplitFeatures:
    """What a network makes of images.

    Attributes:
        values: Inputs of the last linear layer, float32 (N, C).
        logits: Logits of class male, float32 (N,).
    """

    values: NDArray[np.float32]
    logits: NDArray[np.float32]


def look(network: Network, data: FaceDataModule, split: str, hardware: Hardware) -> LastLayer:
    """Find where the features of a network are, with a few images of a split."""
    rows = np.arange(min(_LOOKED_AT, len(data.index(split))))
    images = data.dataset(split).decode(rows.tolist()).to(hardware.device_type)
    return find_last_layer(network, images)


def features_of(
    network: Network,
    layer: LastLayer,
    data: FaceDataModule,
    split: str,
    hardware: Hardware,
    folder: Path | None,
    *,
    finder: Located | None = None,
    advance: Callable[[int], None] = lambda done: None,
) -> SplitFeatures:
    """Compute the features of a split, or read those that are kept.

    Args:
        network: On its device, in evaluation mode.
        layer: The last layer, from `look`.
        data: A data module that has the split.
        split: train, valid or test.
        hardware: Device and precision.
        folder: Keeps the features, as `<key>/<number>.npy`. The key changes with weights, framing, pictures, the faces
            found in them, and precision. None: they are not kept.
        finder: The finder of faces that `data` uses.
        advance: Called with the number of images done.

    Raises:
        UserError: The network gives something other than a number, or the folder cannot be written.
    """
    images = len(data.index(split))
    place = None if folder is None else folder / _key(network, hardware, _pictures(network, data, split, finder))
    blocks = []
    try:
        if place is not None:
            place.mkdir(parents=True, exist_ok=True)
        for start in range(0, images, _BLOCK):
            rows = np.arange(start, min(start + _BLOCK, images))
            file = None if place is None else place / f"{start // _BLOCK:05d}.npy"
            block = None if file is None else _kept(file, (len(rows), sum(layer.widths) + 1))
            if block is not None:
                advance(len(rows))
            else:
                block = _computed(network, layer, data, split, hardware, rows, advance)
                if file is not None:
                    with writing(file, "wb") as kept:
                        np.save(kept, block)
            blocks.append(block)
    except OSError as error:
        raise UserError(
            f"{error.filename or place} cannot be written ({error.strerror}).", "Free space, or copy the run elsewhere."
        ) from error
    found = np.concatenate(blocks)
    return SplitFeatures(found[:, :-1], found[:, -1])


@torch.inference_mode()
def _computed(
    network: Network,
    layer: LastLayer,
    data: FaceDataModule,
    split: str,
    hardware: Hardware,
    rows: NDArray[np.int64],
    advance: Callable[[int], None],
) -> NDArray[np.float32]:
    """Features and, in the last column, logits of some rows, float32 (B, C + 1)."""
    device = torch.device(hardware.device_type)
    block = np.full((len(rows), sum(layer.widths) + 1), np.nan, dtype=np.float32)
    for batch in data.loader(split, rows=rows):
        with hardware.autocast():
            values, logits = features_and_logits(network, layer, batch.images.to(device, non_blocking=True))
        place = batch.indices.numpy() - rows[0]
        block[place, :-1], block[place, -1] = values.cpu().numpy(), logits.cpu().numpy()
        advance(len(place))
    if not np.isfinite(block).all():
        raise UserError(
            "The checkpoint does not give a number for every image: its training has diverged.",
            "Use another checkpoint.",
            field="checkpoint",
        )
    return block


def _pictures(network: Network, data: FaceDataModule, split: str, finder: Located | None) -> str:
    index = data.index(split)
    cut = b"" if finder is None else finder.fingerprint(index)
    return digest(index, data.dataset(split).store, network.spec.framing, cut)


def _key(network: Network, hardware: Hardware, pictures: str) -> str:
    spec = asdict(network.spec)
    settings: dict[str, Any] = {name: spec[name] for name in _PARTS_OF_SPEC}
    settings |= {"version": _VERSION, "pictures": pictures, "precision": hardware.precision}
    found = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for name, weights in network.net.state_dict().items():
        found.update(name.encode() + weights.detach().float().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()[:20]


def _kept(file: Path, shape: tuple[int, int]) -> NDArray[np.float32] | None:
    """A block of an earlier command; None where it is missing or damaged."""
    if not file.is_file():
        return None
    try:
        block: NDArray[np.float32] = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError, MemoryError, TypeError) as error:
        log.info("%s is unreadable (%s): its features are computed again.", file, error)
        return None
    return block if block.dtype == np.float32 and block.shape == shape and np.isfinite(block).all() else None
