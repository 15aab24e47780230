"""How the loader of a rank runs: processes, prefetching, pinned memory. The machine decides each `auto`."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

MOST_WORKERS = 16  # per rank: with more of them, workers wait
MOST_SPAWNED = 2  # on Apple's systems, where each worker is a new Python with its own torch (some 300 MB)
MOST_COPYING = 2  # where batches are copied from `data.cache`: one process copies gigabytes a second
MOST_AHEAD = 4  # batches per worker: enough to ride out a slow disk
_SHARED = Path("/dev/shm")  # where workers hand their batches over; 64 MB in a container unless told otherwise


@dataclass(frozen=True)
class Loading:
    """The settings of a `DataLoader`.

    Attributes:
        workers: Number of worker processes; 0 loads in the training process.
        prefetch: Batches that each worker keeps ready; None without workers.
        pin_memory: Whether batches lie in page-locked memory, from which a GPU copies while it computes.
        persistent_workers: Whether the processes outlive an epoch.
    """

    workers: int
    prefetch: int | None
    pin_memory: bool
    persistent_workers: bool


def choose_loading(
    *,
    workers: int | str = "auto",
    prefetch: int | str = "auto",
    pin_memory: bool | str = "auto",
    persistent_workers: bool | str = "auto",
    cores: int,
    device_type: str,
    batch_bytes: int,
    memory: int | None,
    decodes: bool = True,
) -> Loading:
    """Replace every `auto`.

    Args:
        workers: The configured value.
        prefetch: The configured value.
        pin_memory: The configured value.
        persistent_workers: The configured value.
        cores: Number of cores that this rank may use.
        device_type: Torch's name for the device that the batches go to.
        batch_bytes: Size of one batch of uint8 images.
        memory: Bytes that waiting batches of this rank may take; None where that is unknown.
        decodes: Whether a batch has to be decoded; otherwise it is copied from memory.
    """
    if workers == "auto":
        processes = automatic_workers(cores, device_type)
        if not decodes:
            processes = 0 if device_type == "cpu" else min(processes, MOST_COPYING)
        if memory is not None and processes > (affordable := memory // (2 * batch_bytes)):
            processes = affordable
            _warn(memory >> 20, f"so that {processes} loader processes are used")
    else:
        processes = int(workers)
        warn_if_short(memory, processes * 2 * batch_bytes)
    ahead: int | None = None
    if processes:
        ahead = _automatic_prefetch(processes, batch_bytes, memory) if prefetch == "auto" else int(prefetch)
    return Loading(
        workers=processes,
        prefetch=ahead,
        pin_memory=device_type == "cuda" if pin_memory == "auto" else bool(pin_memory),
        persistent_workers=processes > 0 and (persistent_workers == "auto" or bool(persistent_workers)),
    )


def warn_if_short(memory: int | None, wanted: int) -> None:
    """Warn where waiting batches need more bytes than there are; None: the memory is unknown."""
    if memory is not None and wanted > memory:
        _warn(memory >> 20, "so that some batches take a slower way, through a pipe")


def _warn(megabytes: int, consequence: str) -> None:
    log.warning(
        "Memory for waiting batches is short (%d MB of RAM or /dev/shm), %s. "
        "In a container give more shared memory (docker run --shm-size=4g).",
        megabytes,
        consequence,
    )


def automatic_workers(cores: int, device_type: str) -> int:
    """Number of loader processes for a rank with this number of cores.

    A core decodes and resizes some thousand faces per second. A network on the CPU needs far fewer, so that one
    process is enough, and none if there is only one core; a GPU uses as many as it gets.

    Args:
        cores: Number of cores that this rank may use.
        device_type: Torch's name for the device that the batches go to: cpu, cuda or mps.
    """
    if device_type == "cpu":
        return 1 if cores > 1 else 0
    return min(max(1, cores - 1), MOST_SPAWNED if device_type == "mps" else MOST_WORKERS)


def _automatic_prefetch(workers: int, batch_bytes: int, memory: int | None) -> int:
    if memory is None:
        return MOST_AHEAD
    ready = memory // (workers * batch_bytes) - 1  # and one in preparation
    return max(1, min(MOST_AHEAD, ready))


def memory_for_batches(ranks: int) -> int | None:
    """Bytes that the waiting batches of each rank on this machine may take; None if unknown.

    The limit is a quarter of the free memory, or half of the free shared memory if that is less, since training and
    validation may both have workers.

    Args:
        ranks: Number of ranks on this machine.
    """
    limits = [free // 4 for free in (_free_memory(), _free_in_group()) if free is not None]
    if _SHARED.is_dir():
        state = os.statvfs(_SHARED)
        limits.append(state.f_bavail * state.f_frsize // 2)
    return min(limits) // ranks if limits else None


def _free_memory() -> int | None:
    file = Path("/proc/meminfo")
    if not file.is_file():
        return None
    fields = dict(line.split(":", 1) for line in file.read_text().splitlines())
    return int(fields["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in fields else None


def _free_in_group(group: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Bytes that a container's control group (version 2) still allows; None if it sets no limit."""
    limit, current = group / "memory.max", group / "memory.current"
    if not (limit.is_file() and current.is_file()):
        return None
    allowed = limit.read_text().strip()
    return None if allowed == "max" else max(0, int(allowed) - int(current.read_text()))
