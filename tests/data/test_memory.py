"""An index of CelebA's size is shared by the loader's processes, and epochs leave nothing behind."""

from __future__ import annotations

import multiprocessing
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch.utils.data import DataLoader

from gender_lightning.data.dataset import FaceDataset, keep_batch, start_worker
from gender_lightning.data.framing import Framing
from gender_lightning.data.rows.sampling import TrainingSampler
from gender_lightning.data.sources.annotations import Index

from .conftest import jpeg

ROWS, WORKERS, EPOCHS, MB = 202_599, 2, 3, 1 << 20


class OnePicture:
    """The same small file for every row: what is measured is the index, not the disk."""

    def __init__(self) -> None:
        self.bytes = jpeg(0, (16, 16))

    def read(self, image_id: bytes) -> bytes:
        return self.bytes

    def describe(self, image_id: bytes) -> str:
        return image_id.decode()


def celeba_sized_index() -> Index:
    ids = np.char.add(np.char.zfill(np.arange(1, ROWS + 1).astype("S6"), 6), b".jpg")
    return Index(
        image_ids=ids,
        labels=(np.arange(ROWS) % 2).astype(np.int8),
        partition=np.zeros(ROWS, np.int8),
        attributes=np.zeros((ROWS, 39), np.bool_),
        attribute_names=tuple(f"a{number}" for number in range(39)),
        identities=np.arange(ROWS, dtype=np.int32),
    )


def unshared(process: int) -> int:
    """Bytes of a process that no other one has too."""
    rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
    return sum(int(size) for size in re.findall(r"^Private_\w+:\s+(\d+) kB", rollup, re.MULTILINE)) * 1024


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="Linux tells how much memory is shared")
def test_memory_does_not_grow_with_epochs_or_workers(record_property: Any) -> None:
    dataset = FaceDataset(celeba_sized_index(), OnePicture(), Framing(16))
    sampler = TrainingSampler(len(dataset), 512, seed=1)
    loader = DataLoader(
        dataset, 512, sampler=sampler, collate_fn=keep_batch, num_workers=WORKERS, persistent_workers=True,
        worker_init_fn=start_worker, multiprocessing_context=multiprocessing.get_context("fork"),
    )  # fmt: skip
    after: list[list[int]] = []
    for epoch in range(EPOCHS):
        sampler.set_epoch(epoch)
        assert sum(len(batch.labels) for batch in loader) == ROWS // 512 * 512
        workers = sorted(child.pid for child in multiprocessing.active_children() if child.pid is not None)
        assert len(workers) == WORKERS
        after.append([unshared(process) for process in workers])
    print("MB of each worker after each epoch:", [[size // MB for size in sizes] for sizes in after])  # noqa: T201
    for warm, last in zip(after[1], after[-1], strict=True):  # the first two epochs fill the allocator's pools
        assert last - warm < 4 * MB
        # a list of 202,599 bytes objects alone would be 8 MB of references and 9 MB of objects, copied by counting them
        assert last < 64 * MB
