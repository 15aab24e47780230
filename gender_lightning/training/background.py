"""Files that are written in a thread while the training continues."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from torch import Tensor


class BackgroundWriter:
    """A thread that does one job at a time; the program does not exit before its job has ended."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._job: Future[None] | None = None

    def start(self, job: Callable[[], None]) -> None:
        """Start a job once the one before has ended.

        Raises:
            Exception: The error of the previous job, in which case this one is not started.
        """
        self.wait()
        self._pool = self._pool or ThreadPoolExecutor(1, thread_name_prefix="write-checkpoints")
        self._job = self._pool.submit(job)

    def wait(self) -> None:
        """Wait for the job.

        Raises:
            Exception: The error of the job.
        """
        job, self._job = self._job, None
        if job is not None:
            job.result()

    def check(self) -> None:
        """Raise the error of a job that has ended, without waiting for one that has not."""
        if self._job is not None and self._job.done():
            self.wait()


def on_host(content: Any) -> Any:
    """A copy of nested dictionaries, lists and tensors that no later training step changes; tensors on the CPU."""
    if isinstance(content, Tensor):
        tensor = content.detach()
        return tensor.clone() if tensor.device.type == "cpu" else tensor.cpu()
    if isinstance(content, Mapping):
        return {key: on_host(value) for key, value in content.items()}
    if type(content) in (list, tuple):
        return type(content)(on_host(value) for value in content)
    return copy.deepcopy(content)
