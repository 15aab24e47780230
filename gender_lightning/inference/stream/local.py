"""The job on one machine: processes open pictures and find faces, this one runs the network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from gender_lightning.data.dataset import keep_batch, start_worker
from gender_lightning.data.loading import memory_for_batches, warn_if_short
from gender_lightning.errors import UserError
from gender_lightning.hardware import Hardware
from gender_lightning.inference.faces.crops import Crop, Cropper
from gender_lightning.inference.pictures import open_picture
from gender_lightning.inference.predictor import label_of
from gender_lightning.inference.stream.items import Item, Judged, Looked, Seen, judged
from gender_lightning.models.checkpoint import Network

_AHEAD = 2  # batches that each process keeps ready
_FRAMES = 8  # of a video at a time: they are large, and lie in memory
_LEAST_SIDE = 8  # px: less shows nobody


class Prepared(NamedTuple):
    """A batch between a worker and the network.

    Attributes:
        faces: uint8 (F, 3, S, S): all faces of all pictures, one after the other.
        looked: The pictures, in order.
    """

    faces: Tensor
    looked: list[Looked]


@dataclass
class Judge:
    """The network, its device, and from when on it is sure."""

    network: Network
    hardware: Hardware
    min_confidence: float
    batch_size: int

    def __post_init__(self) -> None:
        device = torch.device(self.hardware.device_type)
        self.network = self.network.to(device).to(memory_format=self.hardware.memory_format).eval()

    def __call__(self, prepared: Prepared) -> list[Judged]:
        """Rows of all pictures of a batch."""
        probabilities = iter(self.probabilities(prepared.faces))
        results = []
        for looked in prepared.looked:
            own = list(islice(probabilities, len(looked.faces)))
            labels = [label_of(value, self.network.spec, self.min_confidence) for value in own]
            results.append(judged(looked, labels, own))
        return results

    @torch.inference_mode()
    def probabilities(self, faces: Tensor) -> list[float]:
        """Of class male, of faces uint8 (F, 3, S, S)."""
        values: list[float] = []
        for start in range(0, len(faces), self.batch_size):
            pixels = faces[start : start + self.batch_size].to(self.hardware.device_type, non_blocking=True)
            with self.hardware.autocast():
                values += self.network.probability(pixels).float().cpu().tolist()
        return values


class Preparation(Dataset[Prepared]):
    """What the workers do: an item is its own index."""

    def __init__(self, cropper: Cropper, *, keep_pixels: bool = False) -> None:
        self.cropper = cropper
        self.keep_pixels = keep_pixels

    def __getitems__(self, items: list[Item]) -> Prepared:
        """Open the pictures of a batch and cut out their faces."""
        looked, pixels = [], []
        for item in items:
            seen, crops = self._look(item)
            looked.append(seen)
            pixels += [crop.pixels for crop in crops]
        size = self.cropper.framing.image_size
        faces = torch.empty((len(pixels), 3, size, size), dtype=torch.uint8)
        for place, crop in enumerate(pixels):
            faces[place] = torch.from_numpy(crop).permute(2, 0, 1)
        return Prepared(faces, looked)

    def _look(self, item: Item) -> tuple[Looked, list[Crop]]:
        kept = item if self.keep_pixels else replace(item, pixels=None)
        if item.problem or item.done:
            return Looked(kept, status="unreadable", note=item.problem), []
        try:
            opened = open_picture(item.path if item.pixels is None else item.pixels)
        except (UserError, MemoryError) as error:
            return Looked(kept, status="unreadable", note=str(error) or "not enough memory"), []
        height, width = opened.pixels.shape[:2]
        if min(height, width) < _LEAST_SIDE:
            return Looked(kept, status="unreadable", note=f"it has {width} x {height} pixels only"), []
        crops = self.cropper.crops(opened.pixels)
        faces = tuple(Seen(crop.box, crop.status, crop.note) for crop in crops)
        return Looked(kept, faces, note="; ".join(opened.notes)), crops


def predict_stream(
    items: Iterable[Item], cropper: Cropper, judge: Judge, *, workers: int, chunk: int, keep_pixels: bool = False
) -> Iterator[list[Judged]]:
    """Predict pictures as they come, in their order, a chunk at a time.

    Args:
        items: Any number; read as they are needed.
        cropper: What of a picture the network sees.
        judge: The network.
        workers: Processes that open pictures and find faces; 0: this one.
        chunk: Pictures at a time; of the frames of a video at most 8.
        keep_pixels: Frames keep their pixels, to be drawn on.

    Raises:
        UserError: A process was killed, mostly for want of memory.
    """
    if cropper.detects:
        _ = cropper.detector  # loaded once, before processes are started
    if workers:
        face_bytes = 3 * cropper.framing.image_size**2
        warn_if_short(memory_for_batches(1), workers * _AHEAD * chunk * face_bytes)
    loader = DataLoader(
        Preparation(cropper, keep_pixels=keep_pixels),
        batch_sampler=chunks(items, chunk),
        num_workers=workers,
        prefetch_factor=_AHEAD if workers else None,
        collate_fn=keep_batch,
        worker_init_fn=start_worker if workers else None,
        pin_memory=judge.hardware.device_type == "cuda",
    )
    try:
        for prepared in loader:
            yield judge(Prepared(*prepared))
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise UserError(
            "A process that opens pictures was ended from outside, mostly for want of memory. What is done is kept: "
            "go on with resume=true, and workers=1 or a smaller batch_size."
        ) from error


def chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """So many items at a time; of the frames of a video at most 8."""
    chunk: list[Item] = []
    frames = 0
    for item in items:
        chunk.append(item)
        frames += item.pixels is not None
        if len(chunk) == size or frames == _FRAMES:
            yield chunk
            chunk, frames = [], 0
    if chunk:
        yield chunk
