"""Optimizers are built from sections, with parameter groups kept."""

from __future__ import annotations

import copy
import logging
from typing import Any

import pytest
import timm.optim
import torch

from gender_lightning.errors import UserError
from gender_lightning.training.optimizers import adapt, make_optimizer


class Settings:
    """Stands for config.OptimizerConfig."""

    def __init__(self, target: str, lr: float = 0.1, weight_decay: float = 0.0, **arguments: Any) -> None:
        self._section = {"_target_": target, "lr": lr, "weight_decay": weight_decay, **arguments}

    def section(self) -> dict[str, Any]:
        return dict(self._section)


def weights() -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((4, 3, 3, 3), (5, 4), (5,))
    return [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]


def test_the_groups_own_rates_and_decays_win() -> None:
    first, second, third = weights()
    groups = [{"params": [first, second], "lr": 0.01}, {"params": [third], "weight_decay": 0.0}]
    config = Settings("torch.optim.SGD", lr=0.1, weight_decay=0.5, momentum=0.9, nesterov=True)
    optimizer = make_optimizer(groups, config)
    assert [group["lr"] for group in optimizer.param_groups] == [0.01, 0.1]
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.5, 0.0]
    assert all(group["nesterov"] for group in optimizer.param_groups)
    assert list(groups[1]) == ["params", "weight_decay"]  # the caller's groups are left alone


@pytest.mark.parametrize("name", ["torch.optim.AdamW", "torch.optim.RAdam", "torch.optim.Rprop"])
def test_optimizers_of_torch_take_a_step(name: str) -> None:
    step(Settings(name))


@pytest.mark.parametrize("name", ["Lion", "Adan", "Muon", "Lamb"])
def test_optimizers_of_timm_take_a_step(name: str) -> None:
    if not hasattr(timm.optim, name):
        pytest.skip(f"this version of timm has no {name}")
    step(Settings(f"timm.optim.{name}", lr=1e-2, weight_decay=0.1))


def step(config: Settings) -> None:
    parameters = weights()
    before = [parameter.detach().clone() for parameter in parameters]
    optimizer = make_optimizer([{"params": parameters}], config)
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    for parameter, old in zip(parameters, before, strict=True):
        assert torch.isfinite(parameter).all()
        assert not torch.equal(parameter, old)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (Settings("torch.optim.SGD", momentun=0.9), "Did you mean 'momentum'"),
        (Settings("torch.optim.Rprop", weight_decay=0.1), "no argument 'weight_decay'"),
        (Settings("torch.nn.Linear"), "is not an optimizer of torch.optim, timm.optim"),
        (Settings("torch.optim.lr_scheduler.StepLR"), "not an optimizer"),
        (Settings("torch.optim.SGD", nesterov=True), "refuses its arguments: Nesterov"),
    ],
)
def test_mistakes_are_told(config: Settings, message: str) -> None:
    with pytest.raises(UserError) as caught:
        make_optimizer([{"params": weights()}], config)
    assert message in str(caught.value)


@pytest.mark.parametrize("fused", [None, True])
def test_mixed_memory_formats_are_updated_as_they_should_be_on_a_cpu(
    fused: bool | None, caplog: pytest.LogCaptureFixture
) -> None:
    """torch 2.15's fused CPU kernels get this wrong without an error, so they are never used."""
    plain, last = weights()[0], weights()[0]
    last.data = last.data.contiguous(memory_format=torch.channels_last)
    arguments = {} if fused is None else {"fused": fused}
    config = Settings("torch.optim.SGD", momentum=0.9, **arguments)
    with caplog.at_level(logging.WARNING):
        optimizers = [make_optimizer([{"params": [p]}], config) for p in (plain, last)]
    for _ in range(3):
        gradient = torch.randn(plain.shape)
        for parameter, optimizer in zip((plain, last), optimizers, strict=True):
            parameter.grad = gradient.clone()  # contiguous for both
            optimizer.step()
    assert torch.equal(plain, last)
    assert ("fused" in caplog.text) == bool(fused)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cuda_uses_the_fused_kernels_unless_told_not_to() -> None:
    groups = [{"params": [p.detach().cuda().requires_grad_() for p in weights()]}]
    config = Settings("torch.optim.AdamW")
    assert make_optimizer(groups, config).defaults["fused"]
    assert not make_optimizer(groups, config, fused=False).defaults["fused"]


@pytest.mark.parametrize("name", ["torch.optim.AdamW", "torch.optim.SGD"])
def test_states_of_another_memory_format_take_that_of_the_weights(name: str) -> None:
    config = Settings(name, **({"momentum": 0.9} if name.endswith("SGD") else {}))
    contiguous, channels_last = (stepped(config, layout) for layout in (torch.contiguous_format, torch.channels_last))
    states = copy.deepcopy(contiguous.state_dict())
    adapt(states, channels_last)
    channels_last.load_state_dict(states)
    compared = 0
    for ours, theirs in zip(weights_of(channels_last), weights_of(contiguous), strict=True):
        for key, value in channels_last.state[ours].items():
            if value.dim():
                assert value.stride() == ours.stride()
                assert torch.equal(value, contiguous.state[theirs][key])
                compared += value.stride() != contiguous.state[theirs][key].stride()
    assert compared, "none of them had another format"


@pytest.mark.parametrize("name", ["torch.optim.AdamW", "torch.optim.SGD"])
def test_a_checkpoint_does_not_choose_the_kernels(name: str) -> None:
    """A training from a GPU has `fused=True` in its groups; on a CPU that is wrong for mixed memory formats."""
    config = Settings(name)
    here = stepped(config, torch.channels_last)
    states = copy.deepcopy(here.state_dict())
    for group in states["param_groups"]:
        group.update(fused=True, lr=0.5)
    adapt(states, here)
    here.load_state_dict(states)
    assert all(not group["fused"] and group["lr"] == 0.5 for group in here.param_groups)
    here.param_groups[0]["fused"] = True  # the other way round
    states["param_groups"][0].update(fused=None)
    adapt(states, here)
    assert states["param_groups"][0]["fused"]


def stepped(config: Settings, layout: torch.memory_format) -> torch.optim.Optimizer:
    parameters = [torch.nn.Parameter(w.to(memory_format=layout) if w.dim() == 4 else w) for w in weights()]
    optimizer = make_optimizer([{"params": parameters}], config)
    for number, parameter in enumerate(parameters):
        parameter.grad = torch.arange(parameter.numel(), dtype=torch.float32).view(parameter.shape) + number
    optimizer.step()
    return optimizer


def weights_of(optimizer: torch.optim.Optimizer) -> list[torch.nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
