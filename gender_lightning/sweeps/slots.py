"""Fixed shares of the machine, one per worker of a sweep."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from gender_lightning.errors import UserError
from gender_lightning.machine.hardware import MIG, VISIBLE


@dataclass(frozen=True)
class Slot:
    """The part of the machine that the jobs of one worker may use."""

    number: int
    gpus: tuple[str, ...] = ()  # as in CUDA_VISIBLE_DEVICES; empty on a CPU
    cores: tuple[int, ...] = ()  # empty: all
    sharing: int = 1  # the largest number of jobs on its GPUs at a time

    def environment(self, devices: int) -> dict[str, str]:
        """Environment variables that confine a job with this number of processes to the slot."""
        variables: dict[str, str] = {}
        if self.gpus:
            variables[VISIBLE] = ",".join(self.gpus)
        if self.cores and "OMP_NUM_THREADS" not in os.environ:
            variables["OMP_NUM_THREADS"] = str(max(1, len(self.cores) // devices))
        return variables


def divide(
    workers: int,
    devices: int,
    *,
    gpus: Sequence[str],
    cores: Sequence[int],
    oversubscribe: bool = False,
    per_device: int = 1,
) -> list[Slot]:
    """Divide the machine among the workers of a sweep.

    Args:
        workers: Number of jobs that run at a time.
        devices: The largest number of devices that a job uses, GPUs where there are any, else processes with a core
            each; 0 stands for "auto".
        gpus: Names of the GPUs that jobs use; empty where they compute on the CPU.
        cores: Numbers of the cores that this process may use.
        oversubscribe: On the CPU, whether jobs may share cores.
        per_device: Number of jobs that may share a GPU; jobs are spread over all GPUs before they share one.

    Raises:
        UserError: The jobs do not fit; the message shows the arithmetic.
    """
    _check(workers, devices, gpus, per_device)
    there, what = (len(gpus) * per_device, "GPU") if gpus else (len(cores), "CPU core")
    needed = workers * max(devices, 1)
    if needed > there and workers > 1 and (gpus or not oversubscribe):
        fits = there // max(devices, 1)
        remedy = f"Use hydra.sweeper.workers={fits}" if fits else f"Use trainer.devices={there} or fewer"
        remedy += ", or hydra.sweeper.per_device=N, which lets N jobs share a GPU" if gpus and fits else ""
        remedy += "" if gpus else ", or hydra.sweeper.oversubscribe=true, which is slower"
        shared = f" for {per_device} jobs each" if per_device > 1 else ""
        raise UserError(
            f"hydra.sweeper.workers={workers} with trainer.devices={max(devices, 1)} each need "
            f"{workers} x {max(devices, 1)} = {needed} {what}s; this machine has {len(gpus or cores)}{shared}.",
            f"{remedy}.",
            field="hydra.sweeper.workers",
        )
    if workers == 1:  # the whole machine, in its own order; the trainer reports what does not fit
        return [Slot(0)]
    sets = _gpu_sets(workers, devices, gpus)
    sharing = -(-workers // len(sets)) if gpus else 1
    return [
        Slot(number, sets[number % len(sets)], _cores(number, workers, devices, cores), sharing)
        for number in range(workers)
    ]


def _check(workers: int, devices: int, gpus: Sequence[str], per_device: int) -> None:
    for name, value in (("workers", workers), ("per_device", per_device)):
        if value < 1:
            field = f"hydra.sweeper.{name}"
            raise UserError(f"{field}={value} is too small.", f"Set {field} to 1 or more.", field=field)
    if workers == 1:
        return
    if per_device > 1 and not gpus:
        raise UserError(
            f"hydra.sweeper.per_device={per_device}: the jobs of this sweep use no GPU that they could share.",
            "On a CPU, hydra.sweeper.oversubscribe=true lets jobs share cores.",
            field="hydra.sweeper.per_device",
        )
    if devices > 1 and any(name.startswith(MIG) for name in gpus):
        raise UserError(
            f"trainer.devices={devices}: CUDA shows a process one MIG instance only.",
            "Use trainer.devices=1, or GPUs that are not divided.",
            field="trainer.devices",
        )


def _gpu_sets(workers: int, devices: int, gpus: Sequence[str]) -> list[tuple[str, ...]]:
    """Divide the GPUs into sets of as many as a job uses; one empty set on a CPU."""
    if not gpus:
        return [()]
    share = devices or max(1, len(gpus) // workers)
    if gpus[0].startswith(MIG):
        share = 1
    sets = [tuple(gpus[first : first + share]) for first in range(0, len(gpus) - share + 1, share)]
    return sets[:workers]


def _cores(number: int, workers: int, devices: int, cores: Sequence[int]) -> tuple[int, ...]:
    """The cores of one worker; where there are too few, one per process, which other workers use too."""
    share = min(max(1, devices, len(cores) // workers), len(cores))
    return tuple(sorted(cores[(number * share + position) % len(cores)] for position in range(share)))
