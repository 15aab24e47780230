"""What all ranks agree on while they train, without waiting for their devices."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class Agreement:
    """The maxima over ranks of a few small numbers, exchanged between the hosts by gloo.

    The exchange runs beside the training: `ask` starts it, and `answer` takes its result, usually one optimizer step
    later, when it has long been there. Every rank must call the methods in the same order.
    """

    def __init__(self) -> None:
        self._group: Any = None
        self._values: Tensor | None = None
        self._exchange: Any = None

    def start(self, ranks: int) -> None:
        """Make the group of all ranks; nothing where there is only one."""
        if ranks > 1 and self._group is None:
            self._group = dist.new_group(backend="gloo")

    def ask(self, *values: int) -> None:
        """Begin an exchange; the result of an earlier one must have been taken."""
        assert self._values is None
        self._values = torch.tensor(values)
        if self._group is not None:
            self._exchange = dist.all_reduce(self._values, dist.ReduceOp.MAX, group=self._group, async_op=True)

    def answer(self) -> list[int] | None:
        """The maxima of what was asked last, on every rank; None where nothing was."""
        if self._values is None:
            return None
        if self._exchange is not None:
            self._exchange.wait()
        found: list[int] = self._values.tolist()
        self._values = self._exchange = None
        return found

    def now(self, *values: int) -> list[int]:
        """The maxima of these values; an answer that was not taken before is dropped, and has to be asked for again."""
        self.answer()
        self.ask(*values)
        found = self.answer()
        assert found is not None
        return found
