"""The colour matrix and the hue turn against torchvision's own functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
import torchvision.transforms.v2.functional as F
from torch import Tensor

from gender_lightning.transforms.color import jitter, shift_hue

TOLERANCE = 0.05  # of 255 levels


@pytest.fixture(params=["highest", "medium"], ids=["by a product", "by multiply-adds"], autouse=True)
def precision(request: pytest.FixtureRequest) -> Iterator[None]:
    """The ways to apply a colour matrix: a product where it is exact, and else never one that rounds to bfloat16."""
    torch.set_float32_matmul_precision(request.param)
    yield
    torch.set_float32_matmul_precision("highest")


@pytest.fixture
def noise() -> Tensor:
    return torch.rand(5, 3, 24, 24, generator=torch.Generator().manual_seed(4))


FACTORS = torch.tensor([0.5, 0.8, 1.0, 1.3, 1.7])


@pytest.mark.parametrize(
    ("part", "theirs"),
    [(0, F.adjust_brightness), (1, F.adjust_contrast), (2, F.adjust_saturation)],
    ids=["brightness", "contrast", "saturation"],
)
def test_one_part_alone_is_torchvisions(noise: Tensor, part: int, theirs: Callable[..., Tensor]) -> None:
    factors: list[Tensor | None] = [None, None, None]
    factors[part] = FACTORS
    ours = jitter(noise * 255, *factors)
    expected = torch.stack([theirs(image, f) for image, f in zip(noise, FACTORS.tolist(), strict=True)]) * 255
    assert (ours - expected).abs().max() < TOLERANCE


def _in_order(image: Tensor, b: float, c: float, s: float) -> Tensor:
    result: Tensor = F.adjust_saturation(F.adjust_contrast(F.adjust_brightness(image, b), c), s)
    return result


def test_all_three_are_torchvisions_in_order_where_nothing_clips(noise: Tensor) -> None:
    middle = 0.4 + 0.2 * noise
    b, c, s = FACTORS.clamp(0.8, 1.3), FACTORS.flip(0).clamp(0.8, 1.2), FACTORS.roll(2).clamp(0.7, 1.3)
    ours = jitter(middle * 255, b, c, s)
    theirs = [_in_order(*row) for row in zip(middle, b.tolist(), c.tolist(), s.tolist(), strict=True)]
    assert (ours - torch.stack(theirs) * 255).abs().max() < TOLERANCE


def test_the_missing_clamps_stay_within_what_the_docstring_states() -> None:
    generator = torch.Generator().manual_seed(5)
    noise = torch.rand(64, 3, 16, 16, generator=generator)
    b, c, s = (0.7 + 0.6 * torch.rand(3, 64, generator=generator)).unbind()
    ours = jitter(noise * 255, b, c, s)
    theirs = [_in_order(*row) for row in zip(noise, b.tolist(), c.tolist(), s.tolist(), strict=True)]
    assert (ours - torch.stack(theirs) * 255).abs().mean() < 1.2


def test_hue_is_torchvisions(noise: Tensor) -> None:
    noise[0, :, :4] = noise[0, :1, :4]  # grey pixels have no hue
    noise[1, 1, :4] = noise[1, 0, :4]  # ties between two channels
    noise[2, :, 0, :2] = torch.tensor([[0.0, 1.0]])
    turns = torch.tensor([-0.5, -0.13, 0.0, 0.1, 0.5])
    ours = shift_hue(noise * 255, turns)
    theirs = torch.stack([F.adjust_hue(image, t) for image, t in zip(noise, turns.tolist(), strict=True)])
    assert (ours - theirs * 255).abs().max() < TOLERANCE
