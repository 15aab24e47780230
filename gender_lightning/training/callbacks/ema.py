"""Exponential moving average of a network's weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from gender_lightning.training.buffers import take_from_first


class AveragedWeights:
    """The moving average of a network's parameters and buffers, independent of Lightning.

    Every floating-point entry of the state is averaged, BatchNorm's statistics included; others, such as
    counters, are not kept. The decay warms up as min(decay, (1 + t) / (10 + t)) after t updates, as in
    TensorFlow's ExponentialMovingAverage, so that the random initial weights are soon forgotten.

    Args:
        net: The network, whose current weights are the initial average.
        decay: Decay per update, in [0, 1).
    """

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        # at least float32: bfloat16 would round small updates away
        self.average = {name: value.detach().clone().to(_wide(value)) for name, value in _floats(net).items()}
        self._into = list(self.average.values())
        self.look_up(net)

    def look_up(self, net: nn.Module) -> None:
        """Store the list of the network's tensors for `update`, since a state dict takes milliseconds.

        It is needed again only if the network has got other tensors.
        """
        # the parameters themselves, since the result of `detach` would miss a change of their memory format
        self._from = list(_floats(net, keep_vars=True).values())
        self._all_wide = all(value.dtype == _wide(value) for value in self._from)

    @torch.no_grad()
    def update(self) -> None:
        """Update the average with the weights after an optimizer step."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        current = self._from if self._all_wide else [value.to(_wide(value)) for value in self._from]
        get_ema_multi_avg_fn(decay)(self._into, current, None)  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def copy_to(self, net: nn.Module) -> dict[str, Tensor]:
        """Copy the average into the network in place.

        Returns:
            A copy of the former weights, for `restore`.
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
        """Load a stored average of the same network."""
        assert average.keys() == self.average.keys()
        for name, value in average.items():
            self.average[name].copy_(value)
        self.updates = updates

    def share(self, net: nn.Module) -> None:
        """Broadcast the averaged buffers of rank 0, since BatchNorm sees different images on each rank."""
        take_from_first(self.average[name] for name, _ in net.named_buffers() if name in self.average)


@torch.no_grad()
def restore(net: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy weights into a network in place, which keeps compiled graphs and optimizers attached."""
    for name, value in _floats(net).items():
        value.copy_(weights[name])


def _floats(net: nn.Module, *, keep_vars: bool = False) -> dict[str, Tensor]:
    return {name: value for name, value in net.state_dict(keep_vars=keep_vars).items() if value.is_floating_point()}


def _wide(value: Tensor) -> torch.dtype:
    return torch.promote_types(value.dtype, torch.float32)


class Ema(pl.Callback):
    """Averages `module.net` after every optimizer step, and validates with the average.

    During the validations of a fit the network holds the average, and its own weights afterwards. At the end of
    the fit the average stays in the network. Outside of a fit nothing is swapped: `best.ckpt` already holds
    averaged weights. `last.ckpt` keeps the network's own weights as its state and the average here.

    Args:
        decay: Decay per optimizer step, in (0, 1).
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
        """Create the average or restore the stored one, now that the network is on its device."""
        self.weights = AveragedWeights(_net(pl_module), self.decay)
        self._seen_step = trainer.global_step
        if self._loaded is not None:
            self.weights.load(self._loaded["average"], self._loaded["updates"])
            self._loaded = None

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Store the list of tensors again, in case another callback has replaced some."""
        assert self.weights is not None
        self.weights.look_up(_net(pl_module))

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Update the average if this batch ended with an optimizer step."""
        if trainer.global_step > self._seen_step:
            assert self.weights is not None
            self.weights.update()
            self._seen_step = trainer.global_step

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Copy the average into the network."""
        if trainer.state.fn == "fit" and self.weights is not None and not trainer.sanity_checking:
            self._share(trainer, pl_module)
            self._own = self.weights.copy_to(_net(pl_module))

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restore the network's own weights."""
        if self._own is not None:
            restore(_net(pl_module), self._own)
            self._own = None

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave the average in the network."""
        if self.weights is not None:
            self._share(trainer, pl_module)
            self.weights.copy_to(_net(pl_module))

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Restore the network's own weights after an interrupted validation."""
        self.on_validation_end(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        """Return the average and its number of updates."""
        if self.weights is None:
            return self._loaded or {}
        return {"average": dict(self.weights.average), "updates": self.weights.updates}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep a stored average until the fit starts."""
        self._loaded = state_dict or None

    def _share(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert self.weights is not None
        if trainer.world_size > 1:
            self.weights.share(_net(pl_module))


def _net(pl_module: pl.LightningModule) -> nn.Module:
    net = pl_module.net
    assert isinstance(net, nn.Module)
    return net
