"""Agreement of all ranks during the training, without waiting for their devices."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class Agreement:
    """The maxima over ranks of a few small numbers, exchanged between the hosts by gloo.

    The exchange runs in the background: `ask` starts it, and `answer` takes its result, usually one optimizer step
    later, when it has long arrived. Every rank must call the methods in the same order.
    """

    def __init__(self) -> None:
        self._group: Any = None
        self._values: Tensor | None = None
        self._exchange: Any = None

    def start(self, ranks: int) -> None:
        """Create the group of all ranks, unless there is only one."""
        if ranks > 1 and self._group is None:
            self._group = dist.new_group(backend="gloo")

    def ask(self, *values: int) -> None:
        """Start an exchange; the result of an earlier one must have been taken."""
        assert self._values is None
        self._values = torch.tensor(values)
        if self._group is not None:
            self._exchange = dist.all_reduce(self._values, dist.ReduceOp.MAX, group=self._group, async_op=True)

    def answer(self) -> list[int] | None:
        """The maxima of the last exchange, on every rank; None if none was started."""
        if self._values is None:
            return None
        if self._exchange is not None:
            self._exchange.wait()
        found: list[int] = self._values.tolist()
        self._values = self._exchange = None
        return found

    def now(self, *values: int) -> list[int]:
        """The maxima of these values now; an earlier result that was not taken is dropped."""
        self.answer()
        self.ask(*values)
        found = self.answer()
        assert found is not None
        return found
