"""Numbers on the device, without a copy from the host, for which a GPU would be waited for."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor


def constant(values: tuple[float, ...], device: torch.device) -> Tensor:
    """These numbers as a vector, float32; not to be altered, since it is made once only."""
    # a graph needs its own constants, so it must not get those of another graph from the cache
    return make(values, device) if torch.compiler.is_compiling() else kept(values, device)


def make(values: tuple[float, ...], device: torch.device) -> Tensor:
    """The same, made anew: filled on the device, one number at a time."""
    return torch.stack([torch.full((), value, device=device, dtype=torch.float32) for value in values])


kept = lru_cache(make)
