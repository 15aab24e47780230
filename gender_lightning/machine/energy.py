"""The energy that a machine's own counters saw during a training: RAPL for processors, NVML for NVIDIA GPUs.

RAPL (Intel and AMD, `/sys/class/powercap`) counts the whole socket and its memory, whoever uses them, and may be
readable by root only; virtual machines usually have none. NVML counts whole GPUs. What lies around them (fans, disks,
power supply) is in neither.
"""

from __future__ import annotations

import ctypes
import logging
import re
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

POWERCAP = Path("/sys/class/powercap")
_ZONE = re.compile(r"intel-rapl:\d+(:\d+)?")  # AMD's as well; intel-rapl-mmio counts the same sockets once more
_COUNTED = re.compile(r"package-\d+|dram")  # core and uncore are parts of package, psys holds all of them
_JOULES_PER_WH = 3600.0
_SECONDS = 30.0  # between two readings: a counter of 262 kJ overflows after a quarter of an hour at 300 W
log = logging.getLogger(__name__)


class Counter(Protocol):
    """A counter of energy that only rises, except when it overflows."""

    @property
    def kind(self) -> str:
        """`cpu` or `gpu`."""

    def joules(self) -> float:
        """The counter's reading. Raises OSError if it cannot be read."""

    @property
    def range(self) -> float:
        """The reading at which it starts from 0 again, in joules."""


@dataclass(frozen=True)
class RaplZone:
    """A socket, or the memory of one."""

    path: Path
    range: float
    kind: str = "cpu"

    def joules(self) -> float:
        """The reading in joules; see `Counter`."""
        return _number(self.path / "energy_uj")


@dataclass(frozen=True)
class NvmlGpu:
    """A GPU of Volta's generation or later."""

    library: Any
    handle: ctypes.c_void_p
    range: float = 2.0**64 / 1000
    kind: str = "gpu"

    def joules(self) -> float:
        """The reading in joules; see `Counter`."""
        millijoules = ctypes.c_ulonglong()
        code = self.library.nvmlDeviceGetTotalEnergyConsumption(self.handle, ctypes.byref(millijoules))
        if code:
            raise OSError(code, "NVML gives no energy for this GPU")
        return millijoules.value / 1000


def rapl_zones(root: Path = POWERCAP) -> list[RaplZone]:
    """The zones that together count each socket and its memory once; empty if they are missing or not readable."""
    zones = []
    try:
        for path in sorted(root.iterdir()):
            if _ZONE.fullmatch(path.name) and _COUNTED.fullmatch((path / "name").read_text().strip()):
                zone = RaplZone(path, _number(path / "max_energy_range_uj"))
                zone.joules()
                zones.append(zone)
    except (OSError, ValueError) as error:
        log.debug("no RAPL: %s", error)
        return []  # half of the sockets would be worse than none
    return zones


def nvml_gpus(number: int) -> list[NvmlGpu]:
    """The first GPUs that this process sees, by number; empty if NVML does not count the energy of all of them."""
    torch = sys.modules.get("torch")
    if not number or torch is None or not torch.cuda.is_available():
        return []
    found = []
    try:
        library = ctypes.CDLL("libnvidia-ml.so.1")
        if library.nvmlInit_v2():
            return []
        for place in range(number):
            handle = ctypes.c_void_p()
            name = f"GPU-{torch.cuda.get_device_properties(place).uuid}".encode()
            if library.nvmlDeviceGetHandleByUUID(name, ctypes.byref(handle)):
                return []
            gpu = NvmlGpu(library, handle)
            gpu.joules()
            found.append(gpu)
    except (OSError, AttributeError) as error:  # no such library, or one without these functions
        log.debug("no NVML: %s", error)
        return []
    return found


@dataclass
class EnergyMeter:
    """Adds up what counters say between its start and its end.

    Attributes:
        counters: What is read.
        used: Joules so far, by kind of counter.
    """

    counters: list[Counter]
    used: dict[str, float] = field(default_factory=dict)
    _last: list[float] = field(default_factory=list)
    _lost: bool = False

    def read(self) -> None:
        """Add what has been used since the last reading; the first one only sets the mark."""
        try:
            now = [counter.joules() for counter in self.counters]
        except (OSError, ValueError):
            self._lost = True
            return
        for counter, before, after in zip(self.counters, self._last, now, strict=False):
            rise = after - before if after >= before else after - before + counter.range
            self.used[counter.kind] = self.used.get(counter.kind, 0.0) + rise
        self._last = now

    @property
    def watt_hours(self) -> dict[str, float]:
        """Energy by kind (`cpu`, `gpu`), Wh; empty if nothing could be measured from start to end."""
        return {} if self._lost else {kind: joules / _JOULES_PER_WH for kind, joules in self.used.items()}


@contextmanager
def metered(counters: Iterable[Counter], seconds: float = _SECONDS) -> Iterator[EnergyMeter]:
    """Read counters now, every so often, and at the end.

    Args:
        counters: See `rapl_zones` and `nvml_gpus`; without any, nothing is done.
        seconds: Time between two readings.
    """
    meter, over = EnergyMeter(list(counters)), threading.Event()
    if not meter.counters:
        yield meter
        return
    meter.read()

    def keep_reading() -> None:
        while not over.wait(seconds):
            meter.read()

    thread = threading.Thread(target=keep_reading, name="energy", daemon=True)
    thread.start()
    try:
        yield meter
    finally:
        over.set()
        thread.join()
        meter.read()


def _number(file: Path) -> float:
    return int(file.read_text()) / 1e6
