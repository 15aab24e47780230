"""Index + pictures -> batches of uint8, one whole batch at a time."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from gender_lightning.data.decoding import decode, frame_tensor
from gender_lightning.data.framing import Framing
from gender_lightning.data.pixel_cache import PixelCache
from gender_lightning.data.sources.annotations import Index
from gender_lightning.data.sources.images import ImageStore
from gender_lightning.job import die_with_parent, obey_parent_alone

log = logging.getLogger(__name__)


class Batch(NamedTuple):
    """What a loader yields.

    Attributes:
        images: Shape (B, 3, S, S), uint8 RGB, contiguous.
        labels: Shape (B,), int64: 1 male, 0 female.
        indices: Shape (B,), int64: row in the index of the split; a balanced sampler's k-th repetition of row r is
            r + k N, where N is the number of rows.
    """

    images: Tensor
    labels: Tensor
    indices: Tensor


# Takes a picture, RGB uint8 (H, W, 3), and its id; returns the part of it that is framed.
Cut = Callable[[NDArray[np.uint8], bytes], NDArray[np.uint8]]


class FaceDataset(Dataset[Batch]):
    """The pictures of an index, decoded and framed on request.

    Args:
        index: The rows.
        store: Their files.
        framing: How a picture is cropped and resized.
        cut: Takes a picture and its id, and returns the part of it that is framed; None: the picture itself.
        cache: The same pictures, decoded already; None: they are decoded from their files.
    """

    def __init__(
        self,
        index: Index,
        store: ImageStore,
        framing: Framing,
        cut: Cut | None = None,
        cache: PixelCache | None = None,
    ) -> None:
        self.cut = cut
        self.index = index
        self.store = store
        self.framing = framing
        self.cache = cache

    def __len__(self) -> int:
        return len(self.index)

    def __getitems__(self, rows: Sequence[int]) -> Batch:
        """Fetch a whole batch into one tensor: nothing is stacked or collated afterwards.

        Raises:
            UserError: A picture does not decode; the message names its path.
        """
        indices = np.asarray(rows, dtype=np.int64)
        places = indices % len(self)
        images = self.decode(places.tolist()) if self.cache is None else self.cache.read(places.tolist())
        labels = self.index.labels[places].astype(np.int64)
        return Batch(images, torch.from_numpy(labels), torch.from_numpy(indices))

    def decode(self, rows: Sequence[int]) -> Tensor:
        """Decode and frame pictures from their files: shape (B, 3, H, W) of `Framing.shape`, uint8.

        Raises:
            UserError: A picture does not decode; the message names its path.
        """
        images = torch.empty((len(rows), 3, *self.framing.shape), dtype=torch.uint8)
        for place, row in enumerate(rows):
            image_id = self.index.image_ids[row]
            image = decode(self.store.read(image_id), path=self.store.describe(image_id))
            if self.cut is not None:
                image = self.cut(image, bytes(image_id))
            images[place] = frame_tensor(image, self.framing)
        return images

    def __getitem__(self, row: int) -> Batch:
        """A batch of one."""
        return self.__getitems__([row])


def keep_batch(batch: Any) -> Any:
    """The collate function: what arrives is a batch already, not a list of samples.

    In a worker the tensors of a named tuple are moved to shared memory here, where an error can still be caught. The
    thread that would otherwise move them prints a traceback and drops the batch, and the parent waits for it forever.
    """
    if get_worker_info() is None or not hasattr(batch, "_fields"):
        return batch
    return type(batch)(*(_shared(part) if isinstance(part, Tensor) else part for part in batch))


class _Piped:
    """A tensor that is sent through the pipe as bytes, and arrives as a tensor."""

    def __init__(self, tensor: Tensor) -> None:
        self.values = tensor.contiguous().numpy()

    def __reduce__(self) -> tuple[Any, ...]:
        return torch.from_numpy, (self.values,)


def _shared(tensor: Tensor) -> Tensor | _Piped:
    """The tensor in shared memory, or, where that is full, wrapped for the slower way through the pipe."""
    try:
        tensor.share_memory_()  # type: ignore[no-untyped-call]
    except RuntimeError as error:  # torch has no class of its own for it
        log.debug("Shared memory is full: a batch goes through the pipe (%s).", error)
        return _Piped(tensor)
    return tensor


def start_worker(worker: int) -> None:
    """Set up a worker: it uses one thread, since the processes are the parallelism, and ends with its training.

    A signal that asks the training to end (Ctrl-C, or a scheduler's) reaches its workers as well. They ignore it, since
    the training needs their batches to save and finish, and then ends them itself.

    The function is here, not in the data module, so that a spawned worker does not load Lightning.
    """
    # OpenCV's threads are not set: reading does not use it, and in a forked worker its setNumThreads would wait
    # forever for the threads with which the parent has drawn faces.
    torch.set_num_threads(1)
    gc.freeze()  # otherwise a collection, in whichever epoch it comes, copies the pages shared with the parent
    obey_parent_alone()
    die_with_parent()
