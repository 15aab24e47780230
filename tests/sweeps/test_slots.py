"""Every worker has its own share of the machine, and what does not fit is refused with the arithmetic."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from gender_lightning.errors import UserError
from gender_lightning.machine import hardware
from gender_lightning.machine.hardware import visible_gpus
from gender_lightning.sweeps.slots import Slot, divide
from gender_lightning.sweeps.sweeper import ProcessSweeper

GPUS = [str(number) for number in range(8)]
MIG = [f"MIG-{number}0f00000-0000-0000-0000-000000000000" for number in range(3)]


def test_gpus_are_fixed_slices() -> None:
    slots = divide(3, 2, gpus=GPUS, cores=range(12))
    assert [slot.gpus for slot in slots] == [("0", "1"), ("2", "3"), ("4", "5")]
    assert slots[1].environment(2)["CUDA_VISIBLE_DEVICES"] == "2,3"


def test_names_of_visible_gpus_are_kept() -> None:
    assert [slot.gpus for slot in divide(2, 1, gpus=["GPU-a", "5"], cores=[0, 1])] == [("GPU-a",), ("5",)]


def test_each_mig_instance_is_for_a_job_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA counts one device for a process, however many instances are named."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", ",".join(MIG))
    assert visible_gpus() == MIG
    for devices in (0, 1):
        assert [slot.gpus for slot in divide(3, devices, gpus=visible_gpus(), cores=range(4))] == [(n,) for n in MIG]
    assert [slot.gpus for slot in divide(2, 0, gpus=MIG, cores=range(4))] == [(MIG[0],), (MIG[1],)]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    assert visible_gpus() == ["5"]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", MIG[0])
    assert visible_gpus() == []


def test_several_jobs_may_share_a_gpu_and_are_spread_first() -> None:
    def gpus_of(workers: int, devices: int, count: int, per_device: int) -> list[tuple[str, ...]]:
        slots = divide(workers, devices, gpus=GPUS[:count], cores=range(12), per_device=per_device)
        return [slot.gpus for slot in slots]

    assert gpus_of(4, 1, 1, 4) == [("0",)] * 4
    assert gpus_of(4, 1, 2, 4) == [("0",), ("1",), ("0",), ("1",)]
    assert gpus_of(4, 2, 4, 2) == [("0", "1"), ("2", "3"), ("0", "1"), ("2", "3")]
    assert gpus_of(2, 0, 1, 2) == [("0",), ("0",)]
    for workers, sharing in ((4, 2), (3, 2), (2, 1)):
        slots = divide(workers, 1, gpus=GPUS[:2], cores=range(12), per_device=4)
        assert {slot.sharing for slot in slots} == {sharing}, "jobs that see the same memory free"
    with pytest.raises(UserError, match=r"5 x 1 = 5 GPUs; this machine has 1 for 4 jobs each. Use .*workers=4"):
        gpus_of(5, 1, 1, 4)
    with pytest.raises(UserError, match=r"per_device=2: the jobs of this sweep use no GPU.*oversubscribe=true"):
        divide(2, 1, gpus=[], cores=[0, 1], per_device=2)


def test_auto_shares_all_gpus() -> None:
    assert [len(slot.gpus) for slot in divide(2, 0, gpus=GPUS, cores=range(8))] == [4, 4]


def test_cores_are_divided_so_that_jobs_do_not_fight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    slots = divide(2, 2, gpus=[], cores=[0, 1, 4, 5, 6, 7, 8, 9])
    assert [slot.cores for slot in slots] == [(0, 1, 4, 5), (6, 7, 8, 9)]
    assert slots[0].environment(2) == {"OMP_NUM_THREADS": "2"}


def test_a_quota_limits_what_is_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "usable_cores", lambda: list(range(96)))
    monkeypatch.setattr(hardware, "cpu_quota", lambda: 8.0)
    sweeper: Any = ProcessSweeper(workers=9)
    sweeper.composed = SimpleNamespace(trainer=SimpleNamespace(accelerator="cpu"))
    with pytest.raises(UserError, match=r"9 x 1 = 9 CPU cores; this machine has 8\."):
        sweeper._slots([1])
    sweeper.workers = 4
    assert [len(slot.cores) for slot in sweeper._slots([1])] == [2, 2, 2, 2]


def test_one_worker_has_everything_as_it_is() -> None:
    assert divide(1, 2, gpus=[], cores=[0]) == [Slot(0)] and Slot(0).environment(1) == {}


def test_on_the_cpu_jobs_may_share_cores() -> None:
    assert [slot.cores for slot in divide(2, 2, gpus=[], cores=[0, 1], oversubscribe=True)] == [(0, 1), (0, 1)]
    assert [slot.cores for slot in divide(3, 1, gpus=[], cores=[4, 5], oversubscribe=True)] == [(4,), (5,), (4,)]
    with pytest.raises(UserError, match="2 x 1 = 2 GPUs"):
        divide(2, 1, gpus=["0"], cores=[0, 1], oversubscribe=True)


@pytest.mark.parametrize(
    ("workers", "devices", "gpus", "said"),
    [
        (4, 2, GPUS[:4], r"4 x 2 = 8 GPUs; this machine has 4. Use hydra.sweeper.workers=2."),
        (2, 8, GPUS[:4], r"2 x 8 = 16 GPUs; this machine has 4. Use trainer.devices=4 or fewer."),
        (3, 1, [], r"3 x 1 = 3 CPU cores; this machine has 2. Use hydra.sweeper.workers=2, or .*oversubscribe=true"),
        (0, 1, [], r"hydra.sweeper.workers=0 is too small."),
        (3, 1, GPUS[:2], r"3 x 1 = 3 GPUs; this machine has 2. Use .*workers=2, or hydra.sweeper.per_device=N"),
        (2, 2, MIG, r"trainer.devices=2: CUDA shows a process one MIG instance only. Use trainer.devices=1"),
    ],
)
def test_what_does_not_fit(workers: int, devices: int, gpus: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        divide(workers, devices, gpus=gpus, cores=[0, 1])
