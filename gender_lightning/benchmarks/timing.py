"""Timing of units of work in alternation, so that a machine that slows down affects all of them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch

Unit = Callable[[], int]  # does one unit of work and returns its number of images


@dataclass(frozen=True)
class Rate:
    """Repeated measurements of one quantity.

    Attributes:
        samples: One value per repeat.
    """

    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median, the value to quote."""
        return statistics.median(self.samples)


def take_turns(
    units: Mapping[str, Unit],
    *,
    repeats: int,
    seconds: float,
    device: torch.device,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Rate]:
    """Measure the images per second of each unit.

    Each unit runs once without being measured, as a warm-up: caches fill, kernels are selected, code is compiled. Then
    the units alternate, in reverse order on every other repeat.

    Args:
        units: What to measure, by name.
        repeats: Number of measurements per unit.
        seconds: Minimum duration of one measurement, during which its unit is repeated.
        device: Device to synchronise with before the clock is read.
        report: Called with the numbers of finished and of all measurements.

    Returns:
        The rates by name.
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
    """Limit torch to one core, as in a loader worker."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
