"""The rows of an evaluation: kept on the device, gathered over ranks, each image once."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Table:
    """The network's answers for the images of a split, by rising index, each image once.

    Attributes:
        indices: Rows in the split's index, int64 (N,).
        logits: Logits of class male, float32 (N,).
        labels: Labels, int64 (N,), 1 male.
    """

    indices: NDArray[np.int64]
    logits: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.indices)


@dataclass
class Rows:
    """The batches of one evaluation epoch; nothing waits for the device before `table`."""

    indices: list[Tensor] = field(default_factory=list)
    logits: list[Tensor] = field(default_factory=list)
    labels: list[Tensor] = field(default_factory=list)

    def add(self, indices: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Keep a batch: int64 (B,), float (B,), int64 (B,)."""
        self.indices.append(indices.detach())
        self.logits.append(logits.detach().float())
        self.labels.append(labels.detach())

    def table(self, device: torch.device) -> Table:
        """Gather over all ranks (a collective call) and keep each image once."""
        kinds = ((self.indices, torch.int64), (self.logits, torch.float32), (self.labels, torch.int64))
        columns = []
        for batches, kind in kinds:
            column = torch.cat(batches).to(kind) if batches else torch.empty(0, dtype=kind, device=device)
            columns.append(gather_rows(column).cpu().numpy())
        return deduplicate(*columns)


def gather_rows(rows: Tensor) -> Tensor:
    """Concatenate the rows (N_r,) of every rank r, of any lengths, in the order of the ranks; on every rank.

    Collectives need equal shapes, so each rank pads its rows to the longest, and the padding is cut off again.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return rows
    world = dist.get_world_size()
    lengths = [torch.zeros(1, dtype=torch.int64, device=rows.device) for _ in range(world)]
    dist.all_gather(lengths, torch.tensor([len(rows)], device=rows.device))
    counts = [int(length) for length in lengths]
    padded = rows.new_zeros(max(counts))
    padded[: len(rows)] = rows
    parts = [torch.empty_like(padded) for _ in range(world)]
    dist.all_gather(parts, padded)
    return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])


def deduplicate(indices: NDArray[np.int64], logits: NDArray[np.float32], labels: NDArray[np.int64]) -> Table:
    """Keep the first row of every index (samplers repeat images so that ranks do equal work), sorted."""
    kept, first = np.unique(indices, return_index=True)
    return Table(kept, logits[first], labels[first])


def assert_complete(table: Table, size: int) -> None:
    """Assert that a table has exactly the rows 0..size-1."""
    complete = len(table) == size and (size == 0 or int(table.indices[-1]) == size - 1)
    assert complete, f"{len(table)} images were evaluated of a split of {size}"
