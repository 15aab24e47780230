"""Detection of nan or infinite losses, which end the training with the names of the images."""

from __future__ import annotations

import math
from collections import deque
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from torch import Tensor

_TOGETHER = 50  # losses on Apple's GPUs, where looking at one waits for everything that the GPU has been given
_SHOWN = 8  # image ids in the message; log.txt lists all


class NonFiniteLoss(Exception):
    """The loss of a batch was nan or infinite.

    Attributes:
        place: Epoch, step and batch, in words.
        image_ids: Image ids of the batch, as in the label files.
    """

    def __init__(self, value: float, place: str, image_ids: list[str]) -> None:
        shown = ", ".join(image_ids[:_SHOWN]) + (" ..." if len(image_ids) > _SHOWN else "")
        super().__init__(f"The loss is {value} in {place}, for the images {shown}")
        self.place = place
        self.image_ids = image_ids


class _Pending(NamedTuple):
    loss: Tensor  # on the host, filled when `arrived` says so
    arrived: Any  # a torch.cuda.Event, or None
    place: str
    indices: Tensor


class FiniteLoss(pl.Callback):
    """Checks the loss of every batch without synchronising with the device.

    On a GPU the loss is copied to the host asynchronously and checked once it has arrived, one or a few steps
    later; before a checkpoint is written, `find` waits for all pending losses, so that no checkpoint contains weights
    spoilt by such a loss. On a CPU the loss is checked in its own step, on an Apple GPU every 50 steps.
    """

    def __init__(self) -> None:
        self._pending: deque[_Pending] = deque()
        self._trainer: pl.Trainer | None = None

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Queue the loss of this batch, and check those that have arrived.

        Raises:
            NonFiniteLoss: One of them is not finite.
        """
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        if not isinstance(loss, Tensor):
            return
        self._trainer = trainer
        place = f"epoch {trainer.current_epoch + 1}, step {trainer.global_step}, batch {batch_idx + 1}"
        self._pending.append(_on_its_way(loss.detach(), place, batch.indices))
        found = self.find() if self._pending[0].arrived is LATER and len(self._pending) >= _TOGETHER else None
        while self._pending and found is None:
            arrived = self._pending[0].arrived
            if arrived is not None and not arrived.query():
                break
            found = self._look(self._pending.popleft())
        if found is not None:
            raise found

    def find(self) -> NonFiniteLoss | None:
        """Wait for all losses so far and return the first non-finite one."""
        found = None
        while self._pending and found is None:
            pending = self._pending.popleft()
            if pending.arrived is not None:
                pending.arrived.synchronize()
            found = self._look(pending)
        return found

    def _look(self, pending: _Pending) -> NonFiniteLoss | None:
        value = float(pending.loss)
        if math.isfinite(value):
            return None
        self._pending.clear()
        return NonFiniteLoss(value, pending.place, self._image_ids(pending.indices.tolist()))

    def _image_ids(self, rows: list[int]) -> list[str]:
        assert self._trainer is not None
        index = self._trainer.datamodule.index("train")  # type: ignore[attr-defined]
        return [index.image_ids[row % len(index)].decode(errors="replace") for row in rows]


class _Later:
    """Stands for an event that cannot be asked for."""

    def query(self) -> bool:
        """Whether it has come."""
        return False

    def synchronize(self) -> None:
        """Wait for it; the loss waits for itself when it is read."""


LATER = _Later()


def _on_its_way(loss: Tensor, place: str, indices: Tensor) -> _Pending:
    if loss.device.type == "cuda":
        host = torch.empty_like(loss, device="cpu", pin_memory=True)
        loss = host.copy_(loss, non_blocking=True)
    return _Pending(loss, _arrival(loss), place, indices)


def _arrival(loss: Tensor) -> Any:
    """An event that tells when a loss has arrived on the host; None if it is already there."""
    if loss.device.type not in ("cpu", "cuda"):
        return LATER
    return torch.cuda.current_stream().record_event() if loss.is_pinned() else None
