"""Networks that threads share, and processes that were forked after a network had been used."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

import torch
from torch import nn

from gender_lightning.errors import UserError

_HOME = os.getpid()  # the process that loaded this module; a forked one finds it loaded already


class _Locks:
    """The locks of one process: a forked process must not wait for a lock that none of its threads holds."""

    def __init__(self) -> None:
        self._registry = threading.Lock()
        self._locks: WeakKeyDictionary[nn.Module, threading.RLock] = WeakKeyDictionary()

    def of(self, network: nn.Module) -> threading.RLock:
        with self._registry:
            return self._locks.setdefault(network, threading.RLock())


_locks: dict[int, _Locks] = {}


@contextmanager
def alone_with(network: nn.Module) -> Iterator[None]:
    """Let one thread at a time use a network; the same thread may enter again.

    Hooks and gradients belong to the network, not to the thread that asked for them: another thread's forward pass
    would end up in a heat map, and memory may be freed while it is in use. So not even a plain prediction may run
    beside one.
    """
    one_thread_after_fork()
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


def one_thread_after_fork() -> None:
    """Let a forked process compute with one thread from now on: the parent's other threads do not exist in it.

    OpenMP's library would wait for them forever. Forked processes are the parallelism there, like a loader's workers.
    """
    if os.getpid() != _HOME and torch.get_num_threads() > 1:
        torch.set_num_threads(1)
