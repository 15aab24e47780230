"""`data.resident`: a split as uint8 in the memory of the device; from its second epoch on no batch is loaded."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.distributed as dist
from torch import Tensor
from torch.utils.data import DataLoader

from gender_lightning.data.dataset import Batch, FaceDataset
from gender_lightning.errors import UserError

MOST_MEMORY = 0.35  # fraction of the device's free memory: weights, optimizer states and activations need the rest
_SHARED_AT_ONCE = 1 << 28  # bytes of an all-reduce
_READ_AT_ONCE = 1024  # images


class ResidentLoader:
    """Yields what a `DataLoader` yields: at first from it, while a buffer on the device fills, then from the buffer.

    Pixels, labels, rows and their order are those of the loader, bit for bit: both read the same sampler. Lightning
    finds the loader's `sampler` and `dataset` here too.

    Args:
        loader: The loader of a `FaceDataset`; its workers end as soon as they are no longer needed.
        device: The device that holds the buffer.
        rank: Rank of this process.
        ranks: Number of processes.
        training: Whether a rank needs other rows in each epoch, so that the ranks exchange what they have loaded;
            every rank must then start every epoch. Otherwise a rank needs the same rows each time.
    """

    def __init__(
        self, loader: DataLoader[Batch], device: torch.device, *, rank: int = 0, ranks: int = 1, training: bool = True
    ) -> None:
        assert isinstance(loader.dataset, FaceDataset) and loader.batch_size is not None
        self.dataset, self.sampler, self.batch_size = loader.dataset, loader.sampler, loader.batch_size
        self.batch_sampler = loader.batch_sampler  # Lightning looks into it for a shuffling sampler
        self._loader: DataLoader[Batch] | None = loader
        self._batches = len(loader)
        self._device, self._rank, self._ranks = device, rank, ranks if training else 1
        with torch.inference_mode(False):  # a validation makes its loader under inference mode
            self._images = torch.zeros(
                (len(self.dataset), 3, *self.dataset.framing.shape), dtype=torch.uint8, device=device
            )
            self._labels = torch.from_numpy(self.dataset.index.labels.astype("int64")).to(device)
            self._filled = torch.full((len(self.dataset),), int(not training), dtype=torch.uint8, device=device)
        if not training:
            self._filled[torch.tensor(list(self.sampler), device=device)] = 0
        if self.dataset.cache is not None:
            self._load(range(len(self.dataset)))
            self._loader = None

    def __len__(self) -> int:
        """Batches of an epoch."""
        return self._batches

    @property
    def is_complete(self) -> bool:
        """Whether the buffer holds everything that will be asked for."""
        return self._loader is None

    def __iter__(self) -> Iterator[Batch]:
        if self._loader is not None:
            self._complete()
        if self._loader is not None:
            return self._filling(iter(self._loader))
        return self._from_buffer(torch.tensor(list(self.sampler), device=self._device))

    def _filling(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        for batch in batches:
            images, labels, rows = (part.to(self._device, non_blocking=True) for part in batch)
            places = rows % len(self.dataset)
            self._images.index_copy_(0, places, images)
            self._filled.index_fill_(0, places, 1)
            yield Batch(images, labels, rows)

    def _from_buffer(self, order: Tensor) -> Iterator[Batch]:
        for rows in torch.split(order, self.batch_size):
            places = rows % len(self.dataset)
            yield Batch(self._images.index_select(0, places), self._labels.index_select(0, places), rows)

    def _complete(self) -> None:
        """Load the rows that are still missing if they are few, and take what the other ranks have loaded.

        An epoch leaves out less than one global batch. One that was resumed, or limited, leaves out more: then the
        loader serves another epoch. The ranks decide alike, since they look at the same rows.
        """
        if self._ranks > 1:
            dist.all_reduce(self._filled, dist.ReduceOp.MAX)
        missing = (self._filled == 0).nonzero().flatten().tolist()
        if len(missing) > self.batch_size * self._ranks:
            return
        self._load(missing[self._rank % self._ranks :: self._ranks])
        if self._ranks > 1:
            # the greatest and not the sum: a row that two ranks have loaded is the same on both, others are zero
            for part in torch.split(self._images, max(1, _SHARED_AT_ONCE // self._images[0].numel())):
                dist.all_reduce(part, dist.ReduceOp.MAX)
        self._loader = None

    def _load(self, rows: list[int] | range) -> None:
        for start in range(0, len(rows), _READ_AT_ONCE):
            part = rows[start : start + _READ_AT_ONCE]
            self._images.index_copy_(
                0, torch.tensor(part, device=self._device), self.dataset.__getitems__(part).images.to(self._device)
            )


def bytes_of(dataset: FaceDataset) -> int:
    """Bytes that the pictures of a split take as uint8."""
    return len(dataset) * 3 * math.prod(dataset.framing.shape)


def stays(wanted: bool | str, needed: int, device: torch.device, *, epochs: int | None, sharing: int = 1) -> bool:
    """Whether pictures stay on the device.

    Args:
        wanted: The configured value: True, False or `auto`, which means on a GPU with plenty of free memory.
        needed: Number of bytes that the pictures take.
        device: The device that would hold them.
        epochs: Number of epochs of the training; a single one gains nothing. None or -1 if it is not known.
        sharing: Number of trainings that may use the device at the same time, all of which see the same memory free.

    Raises:
        UserError: True is configured, and the GPU does not have enough memory.
    """
    if wanted is False or (wanted == "auto" and (device.type != "cuda" or epochs == 1)):
        return False
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    if wanted == "auto":
        return needed < MOST_MEMORY * free / sharing
    if needed > free:
        raise UserError(
            f"data.resident=true needs {needed / 1e9:.1f} GB on the GPU, of which {free / 1e9:.1f} GB are free.",
            "Use data.resident=auto, or a smaller data.image_size.",
            field="data.resident",
        )
    return True
