"""Muon against SVD, against torch's Muon and AdamW, and against timm's, which the results were measured with."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import timm.optim
import torch
from torch import Tensor
from torch.optim import Optimizer

from gender_lightning.config import OptimizerConfig
from gender_lightning.overrides import compose
from gender_lightning.training import muon
from gender_lightning.training.muon import Muon, orthogonal
from gender_lightning.training.optimizers import make_optimizer

SHAPES = ((8, 3, 3, 3), (6, 20), (20, 6), (1, 16), (8, 1, 3, 3), (7,))
MATRICES = 3  # the first ones; AdamW moves the others


def weights(shapes: Sequence[tuple[int, ...]] = SHAPES) -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]


def steps(optimizers: Sequence[Optimizer], parameters: Sequence[Sequence[Tensor]], number: int = 3) -> None:
    """Steps with the same gradients for corresponding parameters."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(number):
        for alike in zip(*parameters, strict=True):
            gradient = torch.randn(alike[0].shape, generator=generator)
            for parameter in alike:
                parameter.grad = gradient.reshape(parameter.shape)
        for optimizer in optimizers:
            optimizer.step()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(16, 40), (40, 16), (1, 32), (24, 24)])
def test_singular_values_come_close_to_one_and_vectors_stay(shape: tuple[int, int], dtype: torch.dtype) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    kept = values > 0.02 * matrix.norm()
    found = orthogonal(matrix, dtype)
    assert found.dtype == torch.float32 and found.is_contiguous()
    inner = left.mT @ found @ right.mT
    own = inner.diagonal()
    assert ((own[kept] > 0.75) & (own[kept] < 1.25)).all()
    assert (inner - own.diag()).abs().max() < (1e-4 if dtype == torch.float32 else 0.03)


def test_a_gradient_of_zeros_is_no_step() -> None:
    assert torch.equal(orthogonal(torch.zeros(3, 5), torch.bfloat16), torch.zeros(3, 5))


def test_matrices_move_as_with_torch_and_the_rest_as_with_adamw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(muon, "_FACTORS", ((3.4445, -4.7750, 2.0315),) * 5)  # the ones of torch
    monkeypatch.setattr(muon, "_arithmetic", lambda _: torch.bfloat16)
    ours = weights()
    flat = [torch.nn.Parameter(each.detach().clone().flatten(1)) for each in ours[:MATRICES]]
    others = [torch.nn.Parameter(each.detach().clone()) for each in ours[MATRICES:]]
    muon_of_torch = torch.optim.Muon(
        flat, lr=0.1, weight_decay=0.3, momentum=0.9, nesterov=False, adjust_lr_fn="match_rms_adamw"
    )
    adamw = torch.optim.AdamW(others, lr=0.1, weight_decay=0.3, betas=(0.9, 0.95))
    steps([Muon(ours, 0.1, 0.3, 0.9), muon_of_torch, adamw], [ours, [*flat, *others]])
    for own, other, old in zip(ours, flat, weights(), strict=False):
        error, moved = (own.flatten(1) - other).norm(), (own - old).norm()
        assert moved > 0 and error < 0.01 * moved
    assert all(torch.equal(own, other) for own, other in zip(ours[MATRICES:], others, strict=True))


@pytest.mark.parametrize("arithmetic", [torch.float32, torch.bfloat16])
def test_the_choice_of_conf_moves_as_that_of_timm(arithmetic: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(muon, "_arithmetic", lambda _: arithmetic)
    section = compose("train", ["optimizer=muon"])["optimizer"]
    ours, theirs = weights(), weights()
    optimizer = make_optimizer([{"params": ours}], OptimizerConfig(**section))
    steps([optimizer, timm.optim.Muon(theirs, lr=section["lr"], weight_decay=section["weight_decay"])], [ours, theirs])
    begun = weights()
    for own, other, old in zip(ours, theirs, begun, strict=True):
        moved, error = (other - old).norm(), (own - other).norm()
        assert moved > 0 and error < 0.01 * moved


def test_channels_last_weights_move_as_contiguous_ones() -> None:
    plain, other = weights(((8, 4, 3, 3),)), weights(((8, 4, 3, 3),))
    other[0].data = other[0].data.to(memory_format=torch.channels_last)
    steps([Muon(plain), Muon(other)], [plain, other])
    torch.testing.assert_close(plain[0], other[0], atol=1e-5, rtol=0)


def test_a_rate_of_zero_moves_nothing_and_what_has_no_gradient_stays() -> None:
    parameters, begun = weights(), weights()
    optimizer = Muon(parameters)
    optimizer.param_groups[0]["lr"] = 0.0  # as a schedule would
    steps([optimizer], [parameters])
    assert all(torch.equal(parameter, old) for parameter, old in zip(parameters, begun, strict=True))
    still = weights(((3, 4), (3,)))
    Muon(still).step()
    assert not Muon(still).state


def test_a_loaded_state_goes_on_identically() -> None:
    whole, cut = weights(), weights()
    first = Muon(whole)
    steps([first], [whole], 4)
    begun = Muon(cut)
    steps([begun], [cut], 4)
    resumed = Muon(cut)
    resumed.load_state_dict(begun.state_dict())
    steps([first, resumed], [whole, cut])
    assert all(torch.equal(own, other) for own, other in zip(whole, cut, strict=True))


@pytest.mark.parametrize("wrong", [{"lr": -1.0}, {"weight_decay": -0.1}, {"momentum": 1.0}, {"betas": (0.9, 1.0)}])
def test_numbers_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        Muon(weights(), **wrong)  # type: ignore[arg-type]


def test_a_closure_is_called_with_gradients() -> None:
    (weight,) = weights(((3, 4),))

    def loss() -> float:
        value = weight.square().sum()
        value.backward()
        return float(value.detach())

    assert Muon([weight]).step(loss) == pytest.approx(float(weights(((3, 4),))[0].detach().square().sum()))
