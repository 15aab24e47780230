"""Prediction on one machine: worker processes open pictures and find faces, this one runs the network."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from gender_lightning.data.dataset import keep_batch, start_worker
from gender_lightning.data.loading import memory_for_batches, warn_if_short
from gender_lightning.errors import UserError
from gender_lightning.inference.bunches import bunches
from gender_lightning.inference.domain import Domain, FaceTotals, answers_of
from gender_lightning.inference.faces.crops import Cropper
from gender_lightning.inference.pictures import Opened, open_picture
from gender_lightning.inference.predictor import UNCERTAIN, label_of
from gender_lightning.inference.stream.items import DetectedFace, Item, PredictedPicture, SearchedPicture, predicted
from gender_lightning.machine.hardware import Hardware
from gender_lightning.models.checkpoints.checkpoint import Answer, Network

_AHEAD = 2  # batches that each process keeps ready
_FRAMES = 8  # frames of a video per chunk: they are large, and are held in memory
_LEAST_SIDE = 8  # px: a smaller picture cannot show a face


class FaceBatch(NamedTuple):
    """A batch on its way from a worker to the network.

    Attributes:
        faces: The faces of all pictures, one after another, uint8 (F, 3, H, W).
        pictures: The pictures, in order.
    """

    faces: Tensor
    pictures: list[SearchedPicture]


@dataclass
class Classifier:
    """The network on its device, with the least confidence and the largest disagreement of a label.

    Attributes:
        network: The network.
        hardware: Its device and precision.
        min_confidence: Probability of the label below which it is withheld.
        batch_size: Faces per batch.
        domain: What the checkpoint remembers of valid; None if it remembers nothing.
        max_disagreement: Of an ensemble, in nats, above which a label is withheld; None for no limit.
        seen: Sums over the faces so far.
    """

    network: Network
    hardware: Hardware
    min_confidence: float
    batch_size: int
    domain: Domain | None = None
    max_disagreement: float | None = None
    seen: FaceTotals = field(default_factory=FaceTotals)

    def __post_init__(self) -> None:
        device = torch.device(self.hardware.device_type)
        self.network = self.network.to(device).to(memory_format=self.hardware.memory_format).eval()

    def __call__(self, batch: FaceBatch) -> list[PredictedPicture]:
        """The rows of all pictures of a batch."""
        answers = iter(self.answers(batch.faces))
        results = []
        for picture in batch.pictures:
            own = list(islice(answers, len(picture.faces)))
            spec = self.network.spec
            labels = [label_of(answer, spec, self.min_confidence, self.max_disagreement) for answer in own]
            self.seen.take(len(labels) - labels.count(UNCERTAIN), len(labels))
            results.append(predicted(picture, labels, own, disagrees=len(self.network.members) > 1))
        return results

    @torch.inference_mode()
    def answers(self, faces: Tensor) -> list[Answer]:
        """What the network says about faces, uint8 (F, 3, H, W)."""
        answers: list[Answer] = []
        for start in range(0, len(faces), self.batch_size):
            pixels = faces[start : start + self.batch_size].to(self.hardware.device_type, non_blocking=True)
            with self.hardware.autocast():
                some, described = answers_of(self.network, pixels, self.domain)
            answers += some
            self.seen.describe(described)
        return answers


class FaceCrops(Dataset[FaceBatch]):
    """The faces of pictures, cut out by the workers; an item serves as its own index."""

    def __init__(self, cropper: Cropper, *, keep_pixels: bool = False) -> None:
        self.cropper = cropper
        self.keep_pixels = keep_pixels

    def __getitems__(self, items: list[Item]) -> FaceBatch:
        """Open the pictures of a batch and cut out their faces."""
        searched: list[SearchedPicture] = []
        pixels: list[NDArray[np.uint8]] = []
        for bunch in bunches((self._open(item) for item in items), _pixels):
            readable = [opened.picture for _, opened in bunch if isinstance(opened, Opened)]
            crops = iter(self.cropper.crops_of(readable))
            for item, opened in bunch:
                if isinstance(opened, str):
                    searched.append(SearchedPicture(item, status="unreadable", note=opened))
                    continue
                own = next(crops)
                faces = tuple(DetectedFace(crop.box, crop.status, crop.note) for crop in own)
                searched.append(SearchedPicture(item, faces, note="; ".join(opened.notes)))
                pixels += [crop.pixels for crop in own]
        faces_of_all = torch.empty((len(pixels), 3, *self.cropper.framing.shape), dtype=torch.uint8)
        for place, crop in enumerate(pixels):
            faces_of_all[place] = torch.from_numpy(crop).permute(2, 0, 1)
        return FaceBatch(faces_of_all, searched)

    def _open(self, item: Item) -> tuple[Item, Opened | str]:
        """A picture in memory, or why there is none."""
        kept = item if self.keep_pixels else replace(item, pixels=None)
        if item.problem or item.done:
            return kept, item.problem
        try:
            opened = open_picture(item.path if item.pixels is None else item.pixels, reduction=self.cropper.reduction)
        except (UserError, MemoryError) as error:
            return kept, str(error) or "not enough memory"
        height, width = opened.pixels.shape[:2]
        if min(height, width) < _LEAST_SIDE:
            return kept, f"it has only {width} x {height} pixels"
        return kept, opened


def _pixels(of: tuple[Item, Opened | str]) -> int:
    _, opened = of
    return 0 if isinstance(opened, str) else opened.pixels.shape[0] * opened.pixels.shape[1]


def predict_stream(
    items: Iterable[Item],
    cropper: Cropper,
    classifier: Classifier,
    *,
    workers: int,
    chunk: int,
    keep_pixels: bool = False,
) -> Iterator[list[PredictedPicture]]:
    """Predict pictures as they arrive, in their order, a chunk at a time.

    Args:
        items: Any number of pictures, read as they are needed.
        cropper: Decides which part of a picture the network sees.
        classifier: The network.
        workers: Number of processes that open pictures and find faces; 0 to do so in this process.
        chunk: Pictures per chunk; at most 8 of them are frames of a video.
        keep_pixels: Whether frames keep their pixels, so that they can be drawn on.

    Raises:
        UserError: A process was killed, usually for lack of memory.
    """
    if cropper.detects:
        _ = cropper.detector  # loaded once, before the processes are started
    if workers:
        face_bytes = 3 * math.prod(cropper.framing.shape)
        warn_if_short(memory_for_batches(1), workers * _AHEAD * chunk * face_bytes)
    # the number of processes is the user's or ours; torch's remark about it names a line of its own
    warnings.filterwarnings("ignore", message="This DataLoader will create", category=UserWarning)
    loader = DataLoader(
        FaceCrops(cropper, keep_pixels=keep_pixels),
        batch_sampler=chunks(items, chunk),
        num_workers=workers,
        prefetch_factor=_AHEAD if workers else None,
        collate_fn=keep_batch,
        worker_init_fn=start_worker if workers else None,
        pin_memory=classifier.hardware.device_type == "cuda",
    )
    try:
        for batch in loader:
            yield classifier(FaceBatch(*batch))
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise UserError(
            "A process that opens pictures was killed, usually because memory ran out. Finished rows are kept.",
            "Continue with resume=true, and with workers=1 or a smaller batch_size.",
        ) from error


def chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Items in chunks of `size`, of which at most 8 are frames of videos."""
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
