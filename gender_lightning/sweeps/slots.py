"""Fixed shares of the machine, one per worker of a sweep."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from gender_lightning.errors import UserError
from gender_lightning.hardware import VISIBLE


@dataclass(frozen=True)
class Slot:
    """What the jobs of one worker may use."""

    number: int
    gpus: tuple[str, ...] = ()  # as in CUDA_VISIBLE_DEVICES; empty on a CPU
    cores: tuple[int, ...] = ()  # empty: all

    def environment(self, devices: int) -> dict[str, str]:
        """The variables of a job with so many processes."""
        variables: dict[str, str] = {}
        if self.gpus:
            variables[VISIBLE] = ",".join(self.gpus)
        if self.cores and "OMP_NUM_THREADS" not in os.environ:
            variables["OMP_NUM_THREADS"] = str(max(1, len(self.cores) // devices))
        return variables


def divide(
    workers: int, devices: int, *, gpus: Sequence[str], cores: Sequence[int], oversubscribe: bool = False
) -> list[Slot]:
    """Divide the machine among the workers of a sweep.

    Args:
        workers: Jobs at a time.
        devices: The most that a job uses: GPUs where there are any, else processes on a core each; 0 is "auto".
        gpus: Names of the GPUs that jobs use; empty where they compute on the CPU.
        cores: Numbers of the cores that this process may use.
        oversubscribe: On the CPU, jobs may share cores.

    Raises:
        UserError: They do not fit, with the arithmetic.
    """
    there, what = (len(gpus), "GPU") if gpus else (len(cores), "CPU core")
    needed = workers * max(devices, 1)
    if workers < 1:
        raise UserError(f"hydra.sweeper.workers={workers}: it should be 1 or more.")
    if needed > there and workers > 1 and (gpus or not oversubscribe):
        fits = there // max(devices, 1)
        remedy = f"Use hydra.sweeper.workers={fits}" if fits else f"Use trainer.devices={there} or fewer"
        remedy += "" if gpus else ", or hydra.sweeper.oversubscribe=true, which is slower"
        raise UserError(
            f"hydra.sweeper.workers={workers} with trainer.devices={max(devices, 1)} each need "
            f"{workers} x {max(devices, 1)} = {needed} {what}s; this machine has {there}. {remedy}."
        )
    if workers == 1:  # everything, in its own order; what does not fit is the trainer's to say
        return [Slot(0)]
    share = devices if gpus and devices else len(gpus) // workers
    return [
        Slot(number, tuple(gpus[number * share : (number + 1) * share]), _cores(number, workers, devices, cores))
        for number in range(workers)
    ]


def _cores(number: int, workers: int, devices: int, cores: Sequence[int]) -> tuple[int, ...]:
    """A share of the cores; of too few, as many as it has processes, which others use too."""
    share = min(max(1, devices, len(cores) // workers), len(cores))
    return tuple(sorted(cores[(number * share + position) % len(cores)] for position in range(share)))
