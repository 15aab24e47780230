"""Workers, batches ahead and pinning follow from cores, device and memory; what was asked for wins."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from gender_lightning.data.dataset import Batch, keep_batch
from gender_lightning.data.loading import (
    Loading,
    _free_in_group,
    automatic_workers,
    choose_loading,
    memory_for_batches,
)

MB = 1 << 20


def chosen(**changes: Any) -> Loading:
    values: dict[str, Any] = {"cores": 8, "device_type": "cuda", "batch_bytes": MB, "memory": 4096 * MB}
    return choose_loading(**{**values, **changes})


def test_an_accelerator_gets_all_cores_but_one_and_pinned_memory() -> None:
    assert chosen() == Loading(workers=7, prefetch=4, pin_memory=True, persistent_workers=True)


def test_a_network_on_the_cpu_keeps_its_cores() -> None:
    assert chosen(device_type="cpu") == Loading(workers=1, prefetch=4, pin_memory=False, persistent_workers=True)


def test_without_a_worker_nothing_is_fetched_ahead() -> None:
    expected = Loading(workers=0, prefetch=None, pin_memory=False, persistent_workers=False)
    assert chosen(device_type="cpu", cores=1) == chosen(device_type="cpu", workers=0) == expected


def test_automatic_workers() -> None:
    assert [automatic_workers(cores, "cpu") for cores in (0, 1, 2, 64)] == [0, 0, 1, 1]
    assert [automatic_workers(cores, "cuda") for cores in (0, 1, 8, 64)] == [1, 1, 7, 16]
    assert [automatic_workers(cores, "mps") for cores in (0, 1, 2, 8, 64)] == [1, 1, 1, 2, 2]


def test_where_nothing_is_decoded_two_processes_copy_and_a_cpu_needs_none() -> None:
    assert chosen(decodes=False).workers == 2
    assert chosen(decodes=False, device_type="cpu").workers == 0
    assert chosen(decodes=False, workers=5).workers == 5


@pytest.mark.parametrize(("memory", "prefetch"), [(1000, 4), (35, 4), (28, 3), (14, 1)])
def test_waiting_batches_fit_into_the_memory(memory: int, prefetch: int) -> None:
    loading = chosen(memory=memory * MB)
    assert (loading.workers, loading.prefetch) == (7, prefetch)
    assert loading.workers * (prefetch + 1) <= memory


def test_a_container_with_little_shared_memory_gets_fewer_workers_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        loading = chosen(memory=32 * MB, batch_bytes=9 * MB)
    assert (loading.workers, loading.prefetch) == (1, 2)
    assert "--shm-size" in caplog.text
    assert chosen(memory=10 * MB, batch_bytes=9 * MB).workers == 0


def test_what_was_asked_for_wins() -> None:
    asked = {"workers": 3, "prefetch": 9, "pin_memory": False, "persistent_workers": False}
    assert chosen(memory=MB, **asked) == Loading(3, 9, pin_memory=False, persistent_workers=False)


def test_unknown_memory_limits_nothing() -> None:
    assert chosen(memory=None).prefetch == 4


def test_ranks_share_the_memory() -> None:
    alone, shared = memory_for_batches(1), memory_for_batches(4)
    assert alone is not None and shared is not None
    assert shared < alone / 2


@pytest.mark.parametrize(("limit", "free"), [("max", None), ("1000", 400), ("500", 0)])
def test_the_limit_of_a_container_counts(tmp_path: Path, limit: str, free: int | None) -> None:
    assert _free_in_group(tmp_path) is None
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "memory.current").write_text("600\n")
    assert _free_in_group(tmp_path) == free


class Squares(Dataset[Batch]):
    """Batches of 64 KB; the second is refused room in shared memory."""

    def __getitems__(self, rows: list[int]) -> Batch:
        images = torch.full((len(rows), 3, 64, 64), rows[0], dtype=torch.uint8)
        return Batch(images, torch.tensor(rows), torch.tensor(rows))


def test_a_batch_for_which_shared_memory_is_full_goes_through_the_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's own thread would drop the batch, and the loader would wait for it for ever."""
    shared = Tensor.share_memory_

    def full(tensor: Tensor) -> Tensor:
        if tensor.numel() > 1000 and tensor.flatten()[0] >= 5:
            raise RuntimeError(
                "unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)"
            )
        return shared(tensor)

    monkeypatch.setattr(Tensor, "share_memory_", full)
    loader = DataLoader(
        Squares(), batch_sampler=[[1, 2], [5, 6], [7]], num_workers=1, collate_fn=keep_batch, timeout=60
    )
    batches = [Batch(*batch) for batch in loader]
    assert [batch.labels.tolist() for batch in batches] == [[1, 2], [5, 6], [7]]
    assert [batch.images.unique().tolist() for batch in batches] == [[1], [5], [7]]
    assert [batch.images.is_shared() for batch in batches] == [True, False, False]
    batches[1].images.add_(1)  # as writable as any


def test_workers_that_were_asked_for_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    assert chosen(memory=64 * MB, batch_bytes=9 * MB, workers=8).workers == 8
    assert "through a pipe" in caplog.text and "--shm-size" in caplog.text
