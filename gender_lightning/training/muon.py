"""Muon for networks with convolutions, in the arithmetic that the device has."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.adamw import adamw

from gender_lightning.machine.hardware import computes_bfloat16

# One triple for each iteration, from Keller Jordan's modded-nanogpt.
_FACTORS = (
    (4.0848, -6.8946, 2.9270),
    (3.9505, -6.3029, 2.6377),
    (3.7418, -5.5913, 2.3037),
    (2.8769, -3.1427, 1.2046),
    (2.8366, -3.0525, 1.2012),
)
_EPS = 1e-8  # of AdamW


class Muon(Optimizer):
    """Weights move along their momentum made orthogonal (Jordan et al. 2024, "Muon"), norms and biases by AdamW.

    A weight of shape (O, I, ...) counts as the matrix (O, I ...). Its step is 0.2 sqrt(max(O, I ...)) times the
    orthogonal matrix, about as large as AdamW's at the same rate (Liu et al. 2025, "Muon is Scalable for LLMs"). Where
    O or I is 1 (the head of one logit, depth-wise convolutions, position embeddings), AdamW moves it too.

    `torch.optim.Muon` takes nothing but matrices. `timm.optim.Muon` iterates in bfloat16 everywhere, also on a
    CPU without instructions for it, where float32 is faster and chosen here.

    Args:
        params: Parameters, or groups of them.
        lr: Learning rate.
        weight_decay: Decoupled decay: a step shrinks the weights by lr times this.
        momentum: Share of the old momentum in the new one, 0 to 1.
        betas: Averaging of AdamW.

    Raises:
        ValueError: A number is out of its range.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 2e-3,
        weight_decay: float = 0.05,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.95),
    ) -> None:
        if lr < 0 or weight_decay < 0:
            raise ValueError(f"lr={lr} and weight_decay={weight_decay} must not be negative")
        if not all(0 <= value < 1 for value in (momentum, *betas)):
            raise ValueError(f"momentum={momentum} and betas={tuple(betas)} must be at least 0 and below 1")
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "betas": tuple(betas)})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Move every parameter that has a gradient; returns what the closure returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            moved = [parameter for parameter in group["params"] if parameter.grad is not None]
            for parameter in moved:
                if _is_matrix(parameter):
                    self._step_matrix(parameter, group)
            self._step_vectors([parameter for parameter in moved if not _is_matrix(parameter)], group)
        return loss

    def _step_matrix(self, parameter: Tensor, group: Mapping[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        momentum = state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
        matrix = orthogonal(momentum.flatten(1), _arithmetic(parameter.device.type))
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        length = 0.2 * max(matrix.shape) ** 0.5
        parameter.add_(matrix.view(parameter.shape), alpha=-group["lr"] * length)

    def _step_vectors(self, parameters: list[Tensor], group: Mapping[str, Any]) -> None:
        if not parameters:
            return
        for parameter in parameters:
            if not self.state[parameter]:
                moments = {"exp_avg": torch.zeros_like(parameter), "exp_avg_sq": torch.zeros_like(parameter)}
                self.state[parameter].update(moments, step=torch.tensor(0.0))
        states = [self.state[parameter] for parameter in parameters]
        names = ("exp_avg", "exp_avg_sq", "step")
        averages, squares, steps = ([state[name] for state in states] for name in names)
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        adamw(
            parameters, gradients, averages, squares, [], steps, amsgrad=False, beta1=group["betas"][0],
            beta2=group["betas"][1], lr=group["lr"], weight_decay=group["weight_decay"], eps=_EPS, maximize=False,
        )  # fmt: skip


def _is_matrix(parameter: Tensor) -> bool:
    return parameter.ndim > 1 and 1 not in parameter.shape[:2]


@functools.cache
def _arithmetic(device_type: str) -> torch.dtype:
    return torch.bfloat16 if computes_bfloat16(device_type) else torch.float32


def orthogonal(matrix: Tensor, dtype: torch.dtype) -> Tensor:
    """Nearly the nearest orthogonal matrix: singular values above 0.02 of the norm become 0.75 to 1.25.

    Args:
        matrix: Float (m, n).
        dtype: Of the iterations.

    Returns:
        (m, n), of the matrix's own dtype.
    """
    wide = matrix.mT if matrix.shape[0] > matrix.shape[1] else matrix
    wide = (wide / wide.norm().clamp(min=1e-7)).to(dtype).contiguous()
    for a, b, c in _FACTORS:
        gram = wide @ wide.mT
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    return (wide.mT if matrix.shape[0] > matrix.shape[1] else wide).to(matrix.dtype).contiguous()
