"""Networks that threads share, and processes that were forked after a network had been used."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from weakref import WeakKeyDictionary

import torch
from torch import nn

from gender_lightning.errors import UserError

_HOME = os.getpid()  # the process that loaded this module; a forked one finds it loaded already
_TASKS = Path("/proc/self/task")  # Linux: one entry for each thread of the process, those that Python does not know too
_STILL = 0.1  # seconds without a change after which no thread is ending
_PATIENCE = 2.0  # seconds
_MOST = 256


class _Locks:
    """The locks of one process: a forked process must not wait for a lock that none of its threads holds."""

    def __init__(self) -> None:
        self._registry = threading.Lock()
        self._locks: WeakKeyDictionary[nn.Module, threading.RLock] = WeakKeyDictionary()

    def of(self, network: nn.Module) -> threading.RLock:
        with self._registry:
            return self._locks.setdefault(network, threading.RLock())


_locks: dict[int, _Locks] = {}
_computed_in: set[int] = set()  # native identifiers of threads other than the main one


@contextmanager
def alone_with(network: nn.Module) -> Iterator[None]:
    """Let one thread at a time use a network; the same thread may enter again.

    Hooks and gradients belong to the network, not to the thread that asked for them: another thread's forward pass
    would end up in a heat map, and memory may be freed while it is in use. So not even a plain prediction may run
    beside one.
    """
    prepare_thread()
    with _locks.setdefault(os.getpid(), _Locks()).of(network):
        yield


@contextmanager
def gpu_errors_after_fork(device: torch.device) -> Iterator[None]:
    """Explain the error of a forked process that uses its parent's GPU, which CUDA refuses.

    Raises:
        UserError: An error of the GPU in a forked process.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        if device.type == "cpu" or os.getpid() == _HOME:
            raise
        raise UserError(
            f"The network cannot use {device} in a forked process ({str(error).splitlines()[0].rstrip('.')}).",
            'Start processes by multiprocessing.get_context("spawn"), call load(...) in each process, or use '
            'device="cpu".',
        ) from error


def prepare_thread() -> None:
    """Prepare the thread that is about to compute: whatever calls PyTorch for a user calls this first.

    A forked process computes with one thread from now on: the parent's other threads do not exist in it, and OpenMP's
    library would wait for them forever. Forked processes are the parallelism there, like a loader's workers.
    """
    if os.getpid() != _HOME and torch.get_num_threads() > 1:
        torch.set_num_threads(1)
    if threading.current_thread() is not threading.main_thread() and _TASKS.exists():
        _computed_in.add(threading.get_native_id())
        if len(_computed_in) > _MOST:  # a server may start a thread for each request
            _computed_in.intersection_update(_tasks())


def _wait_for_ended_threads() -> None:
    """Before a fork: wait until threads that have computed, and OpenMP's threads that worked for them, are gone.

    They free MKL's memory as they end, after Python has joined them. A process forked at that moment inherits MKL's
    lock as taken, and its first matrix product waits for it forever.
    """
    ended = _computed_in - {thread.native_id for thread in threading.enumerate()}
    if not ended:
        return
    _computed_in.difference_update(ended)
    give_up = time.monotonic() + _PATIENCE
    seen, since = _tasks(), time.monotonic()
    while (now := time.monotonic()) < give_up and now - since < _STILL:
        time.sleep(0.005)
        if (tasks := _tasks()) != seen:
            seen, since = tasks, now


def _tasks() -> set[int]:
    return {int(task.name) for task in _TASKS.iterdir()}


if _TASKS.exists():
    os.register_at_fork(before=_wait_for_ended_threads)
