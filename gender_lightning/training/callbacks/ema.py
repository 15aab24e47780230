"""Exponential moving average of a network's weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class AveragedWeights:
    """The moving average of a network's parameters and buffers. A Part: knows nothing of Lightning.

    Every floating-point entry of the state is averaged, BatchNorm's statistics included; others, such as
    counters, are not kept. The decay warms up as min(decay, (1 + t) / (10 + t)) after t updates, as in
    TensorFlow's ExponentialMovingAverage, so that the random start is soon forgotten.

    Args:
        net: The network; its weights now are the start of the average.
        decay: In [0, 1).
    """

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        # at least float32: in bfloat16 a thousandth of a difference would be rounded away
        self.average = {name: value.detach().clone().to(_wide(value)) for name, value in _floats(net).items()}

    @torch.no_grad()
    def update(self, net: nn.Module) -> None:
        """Takes the weights after one optimizer step into the average."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        current = [value.detach().to(_wide(value)) for value in _floats(net).values()]
        get_ema_multi_avg_fn(decay)(list(self.average.values()), current, None)  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def copy_to(self, net: nn.Module) -> dict[str, Tensor]:
        """Puts the average into the network, in place.

        Returns:
            A copy of the weights that were there, for `restore`.
        """
        weights = _floats(net)
        former = {name: value.detach().clone() for name, value in weights.items()}
        restore(net, self.average)
        return former

    def net_state(self, net: nn.Module) -> dict[str, Tensor]:
        """The network's state dict with the average in place of its own weights."""
        state: dict[str, Tensor] = dict(net.state_dict())
        for name, value in self.average.items():
            state[name] = value.detach().to(state[name].dtype).clone()
        return state

    @torch.no_grad()
    def load(self, average: Mapping[str, Tensor], updates: int) -> None:
        """Takes over a stored average of the same network."""
        assert average.keys() == self.average.keys()
        for name, value in average.items():
            self.average[name].copy_(value)
        self.updates = updates

    def share(self, net: nn.Module) -> None:
        """Gives every rank rank 0's averaged buffers: BatchNorm sees other images on each rank."""
        buffers = [self.average[name] for name, _ in net.named_buffers() if name in self.average]
        if buffers:
            flat = torch.cat([buffer.reshape(-1) for buffer in buffers])
            torch.distributed.broadcast(flat, src=0)
            parts = torch.split(flat, [buffer.numel() for buffer in buffers])
            for buffer, part in zip(buffers, parts, strict=True):
                buffer.copy_(part.view_as(buffer))


@torch.no_grad()
def restore(net: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copies weights into a network in place, which keeps compiled graphs and optimizers attached."""
    for name, value in _floats(net).items():
        value.copy_(weights[name])


def _floats(net: nn.Module) -> dict[str, Tensor]:
    return {name: value for name, value in net.state_dict().items() if value.is_floating_point()}


def _wide(value: Tensor) -> torch.dtype:
    return torch.promote_types(value.dtype, torch.float32)


class Ema(pl.Callback):
    """Averages `module.net` after every optimizer step, and lets validation see the average.

    While a fit validates, the network holds the average, and its own weights again afterwards. When the fit
    ends the average stays in the network. Outside of a fit nothing is swapped: `best.ckpt` already holds
    averaged weights. `last.ckpt` keeps the network's own weights as its state and the average here.

    Args:
        decay: Per optimizer step, in (0, 1).
    """

    def __init__(self, decay: float) -> None:
        assert 0 < decay < 1, decay
        self.decay = decay
        self.weights: AveragedWeights | None = None
        self._seen_step = 0
        self._loaded: dict[str, Any] | None = None
        self._own: dict[str, Tensor] | None = None

    def net_state(self, net: nn.Module) -> dict[str, Tensor]:
        """The averaged state dict of the network, under its own names."""
        return dict(net.state_dict()) if self.weights is None else self.weights.net_state(net)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the average, or goes on with the stored one: only now does the net lie on its device."""
        self.weights = AveragedWeights(_net(pl_module), self.decay)
        self._seen_step = trainer.global_step
        if self._loaded is not None:
            self.weights.load(self._loaded["average"], self._loaded["updates"])
            self._loaded = None

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Updates the average where this batch ended in an optimizer step."""
        if trainer.global_step > self._seen_step:
            assert self.weights is not None
            self.weights.update(_net(pl_module))
            self._seen_step = trainer.global_step

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Puts the average into the network."""
        if trainer.state.fn == "fit" and self.weights is not None and not trainer.sanity_checking:
            self._share(trainer, pl_module)
            self._own = self.weights.copy_to(_net(pl_module))

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Puts the network's own weights back."""
        if self._own is not None:
            restore(_net(pl_module), self._own)
            self._own = None

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leaves the average in the network."""
        if self.weights is not None:
            self._share(trainer, pl_module)
            self.weights.copy_to(_net(pl_module))

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Puts the network's own weights back if a validation was broken off."""
        self.on_validation_end(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        """The average and its number of updates."""
        if self.weights is None:
            return self._loaded or {}
        return {"average": dict(self.weights.average), "updates": self.weights.updates}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keeps a stored average until the fit starts."""
        self._loaded = state_dict or None

    def _share(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert self.weights is not None
        if trainer.world_size > 1:
            self.weights.share(_net(pl_module))


def _net(pl_module: pl.LightningModule) -> nn.Module:
    net = pl_module.net
    assert isinstance(net, nn.Module)
    return net
