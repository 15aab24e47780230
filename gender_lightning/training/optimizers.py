"""Optimizers of torch, timm and our own, chosen by `_target_`."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.optim import Optimizer

from gender_lightning.building import OPTIMIZER, accepts, build

_KERNELS = ("fused", "foreach")  # entries of a group that choose them
_log = logging.getLogger(__name__)


class OptimizerSettings(Protocol):
    """The interface of `config.OptimizerConfig`."""

    def section(self) -> dict[str, Any]:
        """The arguments `_target_`, `lr`, `weight_decay` and those that only this optimizer has."""


def make_optimizer(
    groups: Sequence[dict[str, Any]], config: OptimizerSettings, *, fused: bool | None = None
) -> Optimizer:
    """Build the optimizer of a section.

    Args:
        groups: Parameter groups, each with `params` and, if they differ, `lr` and `weight_decay`.
        config: The section `optimizer`.
        fused: Whether to use torch's fused kernels; None uses them on CUDA. False is needed if float16 gradients are
            clipped, since a fused step unscales them too late. The section's own `fused` takes precedence.

    Raises:
        UserError: The class is not in torch.optim, timm.optim or `muon`, or refuses an argument.
    """
    section = config.section()
    if not section.get("weight_decay") and not accepts(section, OPTIMIZER, "weight_decay"):
        section.pop("weight_decay", None)
    if accepts(section, OPTIMIZER, "fused"):
        section["fused"] = _fused(section.get("fused"), groups, fused)
    if _devices(groups) == {"cuda"} and not section.get("fused") and accepts(section, OPTIMIZER, "foreach"):
        # with fused=False alone torch would loop over the weights, and timm's choice depends on its version
        section.setdefault("foreach", not section.get("differentiable"))
    # copies, since optimizers write their defaults into the groups
    optimizer = build(section, OPTIMIZER, [dict(group) for group in groups])
    assert isinstance(optimizer, Optimizer)
    return optimizer


def adapt(states: Mapping[str, Any], optimizer: Optimizer) -> None:
    """Adapt an optimizer's state from a checkpoint to this machine, in place.

    Momentums take the memory formats of the weights. They have the formats of the machine that wrote them (contiguous
    on MPS, channels-last elsewhere), which torch keeps when it loads them. Its fused steps refuse a format that differs
    from the weight's, or on a CPU miscalculate. For that reason, the choice of the kernels, which torch would also take
    from the checkpoint, is this optimizer's own: a training that began on a GPU may go on without one.

    Args:
        states: State dict of the optimizer in a checkpoint.
        optimizer: The optimizer of the resumed training, with the same parameters in the same order.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    numbers = [number for group in states["param_groups"] for number in group["params"]]
    for number, parameter in zip(numbers, parameters, strict=False):  # torch itself reports a different number of them
        state = states["state"].get(number, {})
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape and value.stride() != parameter.stride():
                state[name] = torch.empty_like(parameter, dtype=value.dtype, device=value.device).copy_(value)
    for stored, group in zip(states["param_groups"], optimizer.param_groups, strict=False):
        stored.update({name: group[name] for name in _KERNELS if name in group})


def _devices(groups: Sequence[dict[str, Any]]) -> set[str]:
    return {parameter.device.type for group in groups for parameter in group["params"]}


def _fused(asked: bool | None, groups: Sequence[dict[str, Any]], wanted: bool | None) -> bool | None:
    devices = _devices(groups)
    if "cpu" in devices:
        # torch's fused CPU kernels treat parameter, gradient and momentum as flat memory: if one of them is
        # channels_last and another contiguous, the update is silently wrong (torch 2.15)
        if asked:
            _log.warning("optimizer.fused=true is ignored on a CPU, where it can be wrong for channels_last weights.")
        return None
    if asked is not None:
        return asked
    if wanted is not None:
        return wanted
    return True if devices == {"cuda"} else None
