"""A network that threads share, and processes that were forked after it had computed."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

import torch
from torch import nn

_HOME = os.getpid()  # the process that loaded this module; a forked one finds it loaded already


class _Locks:
    """The locks of one process: a forked one must not wait for a lock that no thread of its own holds."""

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

    Hooks and gradients belong to the network, not to the thread that asked for them: a forward pass of another thread
    would end up in a heat map, and its memory may be freed under it. Not even a plain prediction may run beside one.
    """
    one_thread_after_fork()
    with _locks.setdefault(os.getpid(), _Locks()).of(network):
        yield


def one_thread_after_fork() -> None:
    """In a forked process compute with one thread, for good: the parent's others are gone.

    OpenMP's library would wait for them for ever. Forked processes are the parallelism there, as a loader's are.
    """
    if os.getpid() != _HOME and torch.get_num_threads() > 1:
        torch.set_num_threads(1)
