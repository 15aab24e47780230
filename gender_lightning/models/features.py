"""What a network's head receives: the features of the images that go through it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from gender_lightning.models.heads import main_head


class Features:
    """The features of the images that went through a network since it began to be observed."""

    def __init__(self) -> None:
        self._passes: list[Tensor] = []

    def keep(self, head: nn.Module, inputs: tuple[Any, ...]) -> None:
        """A forward pre-hook of the head."""
        self._passes.append(inputs[0].detach().flatten(1).float())

    def take(self) -> Tensor:
        """Features, float32 (B, C), of the batch since the last call: the mean over the views of each picture."""
        passes, self._passes = self._passes, []
        return torch.stack(passes).mean(0)


@contextmanager
def observed(net: nn.Module) -> Iterator[Features]:
    """Keep what the head of a network of `create_backbone` receives, as long as the block lasts.

    A network that was compiled runs as it is written, since compiled code would not call the hook.
    """
    features = Features()
    may_be_compiled = "torch._dynamo" in sys.modules  # whose import takes seconds
    hook = main_head(net).register_forward_pre_hook(features.keep)
    try:
        with torch.compiler.set_stance("force_eager") if may_be_compiled else nullcontext():
            yield features
    finally:
        hook.remove()
