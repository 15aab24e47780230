"""What stays on the device is what the loader would have given, bit for bit, in every epoch and on every rank."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from gender_lightning.data import datamodule
from gender_lightning.data.dataset import Batch, FaceDataset
from gender_lightning.data.resident import ResidentLoader, stays
from gender_lightning.errors import UserError
from gender_lightning.job import JOB_VARIABLE
from gender_lightning.sweeps.jobs import Job
from gender_lightning.sweeps.slots import Slot

from .test_datamodule import module

Write = Callable[..., Path]


def epochs(loader: Any, numbers: Iterable[int]) -> list[list[Batch]]:
    found = []
    for number in numbers:
        loader.sampler.set_epoch(number)
        found.append(list(loader))
    return found


def assert_equal(ours: list[list[Batch]], theirs: list[list[Batch]]) -> None:
    for mine, other in zip(ours, theirs, strict=True):
        assert len(mine) == len(other)
        for left, right in zip(mine, other, strict=True):
            assert all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(left, right, strict=True))


@pytest.mark.parametrize(
    "changes",
    [
        {}, {"workers": 1}, {"batch_size": 5}, {"batch_size": 64}, {"crop": "lower", "zoom": 0.7}, {"crop": "none"},
        {"limit": 7}, {"fraction": 0.7}, {"on_error": "skip"}, {"cache": "cache"},
    ],
    ids=str,
)  # fmt: skip
def test_every_epoch_is_the_loaders(
    celeba: Write, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    root = celeba()
    if "on_error" in changes:
        (root / "img_align_celeba" / "000002.jpg").write_bytes(b"none")
        monkeypatch.setattr("gender_lightning.data.rows.skipping.MOST", 1)
    plain = {key: value for key, value in changes.items() if key != "cache"}
    ours, theirs = module(root, resident=True, **changes), module(root, resident=False, **plain)
    resident = ours.train_dataloader()
    assert isinstance(resident, ResidentLoader) and len(resident) == len(theirs.train_dataloader())
    assert_equal(epochs(resident, range(4)), epochs(theirs.train_dataloader(), range(4)))
    assert resident.is_complete
    valid = ours.val_dataloader()
    assert isinstance(valid, ResidentLoader)
    assert valid.batch_sampler.sampler is valid.sampler, "Lightning asks whether it shuffles"  # type: ignore[attr-defined]
    for _ in range(3):
        assert_equal([list(valid)], [list(theirs.val_dataloader())])  # type: ignore[arg-type]
    assert valid.is_complete


def test_once_filled_nothing_is_decoded(celeba: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    loader = module(celeba(), resident=True, batch_size=5).train_dataloader()
    epochs(loader, [0])
    decoded: list[int] = []
    decode = FaceDataset.decode
    monkeypatch.setattr(FaceDataset, "decode", lambda self, rows: decoded.extend(rows) or decode(self, rows))
    epochs(loader, range(1, 4))
    assert len(decoded) == 2, "the two that did not fill a batch of the first epoch"


@pytest.mark.parametrize(("epoch", "done"), [(2, 0), (2, 1), (2, 3)])
def test_a_resumed_training_sees_the_rest_and_then_all(celeba: Write, epoch: int, done: int) -> None:
    root = celeba()
    loaders = []
    for resident in (True, False):
        data = module(root, resident=resident, batch_size=3)
        data.load_state_dict({"epoch": epoch, "done": done})
        loaders.append(data.train_dataloader())
    ours, theirs = (epochs(loader, range(epoch, epoch + 4)) for loader in loaders)
    assert [len(batches) for batches in ours] == [4 - done, 4, 4, 4]
    assert_equal(ours, theirs)


def test_an_epoch_that_is_broken_off_fills_a_part(celeba: Write) -> None:
    root = celeba()
    ours, theirs = (module(root, resident=kind, batch_size=2).train_dataloader() for kind in (True, False))
    for epoch in range(3):  # limit_train_batches
        for loader in (ours, theirs):
            loader.sampler.set_epoch(epoch)  # type: ignore[union-attr]
        for (left, right), _ in zip(zip(ours, theirs, strict=False), range(2), strict=False):
            assert torch.equal(left.images, right.images)
    assert_equal(epochs(ours, [3, 4]), epochs(theirs, [3, 4]))


def _rank(rank: int, root: Path, store: Path, batch_size: int, done: int, report: Any) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    same = []
    data, other = (module(root, batch_size=batch_size) for _ in range(2))
    for part in (data, other):
        part._ranks = lambda: (rank, 2)  # type: ignore[method-assign]
        part.load_state_dict({"epoch": 0, "done": done})
    resident = ResidentLoader(data.loader("train", training=True), torch.device("cpu"), rank=rank, ranks=2)
    valid = ResidentLoader(data.loader("valid"), torch.device("cpu"), rank=rank, ranks=2, training=False)
    ordinary, check = other.loader("train", training=True), other.loader("valid")
    for epoch in range(4):
        for loader in (resident, ordinary):
            loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        for pair in ((resident, ordinary), (valid, check)):
            ours, theirs = (list(loader) for loader in pair)
            same.append(len(ours) == len(theirs))
            same += [torch.equal(a, b) for m, o in zip(ours, theirs, strict=True) for a, b in zip(m, o, strict=True)]
    report.put((rank, all(same), resident.is_complete and valid.is_complete))
    dist.destroy_process_group()


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("batch_size", "done"), [(2, 0), (5, 0), (16, 0), (2, 2)])
def test_two_ranks_exchange_what_they_have_loaded(celeba: Write, tmp_path: Path, batch_size: int, done: int) -> None:
    root = celeba()
    module(root).setup()  # imports and the index, before the processes fork
    context = multiprocessing.get_context("fork")
    report = context.Queue()
    ranks = [
        context.Process(target=_rank, args=(rank, root, tmp_path / "store", batch_size, done, report), daemon=True)
        for rank in range(2)
    ]
    for process in ranks:
        process.start()
    found = sorted(report.get(timeout=90) for _ in ranks)
    for process in ranks:
        process.join(20)
    assert found == [(0, True, True), (1, True, True)]


def test_jobs_that_share_a_gpu_share_its_memory(celeba: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, root = list[int](), celeba()
    monkeypatch.setattr(datamodule, "stays", lambda *_, sharing, **__: asked.append(sharing) or False)
    slot = Slot(1, ("0",), (), 4)
    for info in (None, Job(1, (), Path("a")).info(slot)):
        if info is not None:
            monkeypatch.setenv(JOB_VARIABLE, info.to_json())
        module(root, resident="auto").train_dataloader()
    assert asked == [1, 4]


def test_auto_is_a_gpu_with_plenty_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 2000))
    gpu, cpu = torch.device("cuda", 0), torch.device("cpu")
    assert stays("auto", 349, gpu, epochs=5) and not stays("auto", 351, gpu, epochs=5)
    assert stays("auto", 87, gpu, epochs=5, sharing=4) and not stays("auto", 88, gpu, epochs=5, sharing=4)
    assert not stays("auto", 1, gpu, epochs=1) and stays("auto", 1, gpu, epochs=-1)
    assert not stays("auto", 1, cpu, epochs=5) and stays(True, 1, cpu, epochs=1)
    assert stays(True, 999, gpu, epochs=5) and not stays(False, 1, gpu, epochs=5)
    with pytest.raises(UserError, match=r"data\.resident=true needs"):
        stays(True, 1001, gpu, epochs=5)
