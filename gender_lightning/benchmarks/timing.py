"""Rates of pieces of work that take turns, so that a machine that slows down slows all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch

Unit = Callable[[], int]  # does one piece of work, returns how many images it was


@dataclass(frozen=True)
class Rate:
    """Repeated measurements of one thing.

    Attributes:
        samples: One figure per repeat.
    """

    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        """The figure to quote."""
        return statistics.median(self.samples)


def take_turns(
    units: Mapping[str, Unit],
    *,
    repeats: int,
    seconds: float,
    device: torch.device,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Rate]:
    """Images per second of each unit.

    One piece of each is done first, unmeasured: caches fill, kernels are chosen, code is compiled. Then they
    take turns, every other repeat in reverse order.

    Args:
        units: What to measure, by name.
        repeats: Measurements of each.
        seconds: A measurement repeats its unit until so much time has passed.
        device: Waited for before the clock is read.
        report: Told (done, total) measurements.
    """
    names = list(units)
    samples: dict[str, list[float]] = {name: [] for name in names}
    for name in names:
        units[name]()
    for repeat in range(repeats):
        for name in names if repeat % 2 == 0 else reversed(names):
            samples[name].append(_rate(units[name], seconds, device))
            report(sum(map(len, samples.values())), repeats * len(names))
    return {name: Rate(tuple(values)) for name, values in samples.items()}


def _rate(unit: Unit, seconds: float, device: torch.device) -> float:
    images = 0
    _wait(device)
    start = time.perf_counter()
    while True:
        images += unit()
        if time.perf_counter() - start >= seconds:
            break
    _wait(device)
    return images / (time.perf_counter() - start)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


@contextmanager
def one_core() -> Iterator[None]:
    """Torch computes on one core, as in a loader's worker."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
