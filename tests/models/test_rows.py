from __future__ import annotations

import socket
from multiprocessing.queues import SimpleQueue

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from gender_lightning.models.rows import Rows, assert_complete, deduplicate


def test_repeats_are_dropped_and_rows_sorted() -> None:
    indices = np.array([2, 0, 1, 2, 0])
    logits = np.array([2.5, 0.5, 1.5, 9.0, 9.0], dtype=np.float32)
    table = deduplicate(indices, logits, np.array([0, 1, 0, 1, 0]))
    assert table.indices.tolist() == [0, 1, 2]
    assert table.logits.tolist() == [0.5, 1.5, 2.5]
    assert table.labels.tolist() == [1, 0, 0]
    assert_complete(table, 3)


@pytest.mark.parametrize(("indices", "size"), [([0, 1], 3), ([0, 2], 2), ([], 1)])
def test_a_missing_row_is_noticed(indices: list[int], size: int) -> None:
    n = len(indices)
    table = deduplicate(np.array(indices, np.int64), np.zeros(n, np.float32), np.zeros(n, np.int64))
    with pytest.raises(AssertionError, match="of a split of"):
        assert_complete(table, size)


def test_nothing_collected_is_an_empty_table() -> None:
    assert len(Rows().table(torch.device("cpu"))) == 0


def _rank(rank: int, port: int, queue: SimpleQueue[list[list[float]]]) -> None:
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    rows = Rows()
    for batch in ([[0, 2], [4]], [[1, 3]])[rank]:  # 3 rows here, 2 there
        indices = torch.tensor(batch)
        rows.add(indices, indices.to(torch.bfloat16) / 2, indices % 2)
    table = rows.table(torch.device("cpu"))
    queue.put([table.indices.tolist(), table.logits.tolist(), table.labels.tolist()])
    dist.destroy_process_group()


@pytest.mark.slow
def test_ranks_of_unequal_length_gather_the_same_table() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    queue = mp.get_context("spawn").SimpleQueue()
    mp.spawn(_rank, (port, queue), nprocs=2)
    expected = [[0, 1, 2, 3, 4], [0.0, 0.5, 1.0, 1.5, 2.0], [0, 1, 0, 1, 0]]
    assert queue.get() == queue.get() == expected
