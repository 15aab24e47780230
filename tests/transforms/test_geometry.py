"""The warp against torchvision's own functions."""

from __future__ import annotations

import pytest
import torch
import torchvision.transforms.v2.functional as F
from torch import Tensor
from torchvision.transforms import InterpolationMode

from gender_lightning.transforms import geometry
from gender_lightning.transforms.geometry import (
    MIRRORED,
    REPEATED,
    draw_borders,
    flip,
    inside,
    shrink,
    warp,
)
from gender_lightning.transforms.settings import Fill

BILINEAR = InterpolationMode.BILINEAR
TOLERANCE = 0.05  # of 255 levels: float32 coordinates, rounded in another order


@pytest.fixture
def faces() -> Tensor:
    return torch.rand(6, 3, 37, 32, generator=torch.Generator().manual_seed(3)) * 255


def _still(n: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return torch.zeros(n), torch.ones(n), torch.zeros(n, 2), torch.zeros(n, dtype=torch.bool)


def test_rotation_is_torchvisions(faces: Tensor) -> None:
    rotation, scale, shift, flipped = _still(len(faces))
    for angle in (12.0, -33.0, 90.0):
        ours = warp(faces, rotation + angle, scale, shift, flipped, "zeros")
        assert (ours - F.rotate(faces, angle, BILINEAR)).abs().max() < TOLERANCE


def test_each_image_gets_its_own_affine_map_as_torchvision_computes_it(faces: Tensor) -> None:
    rotation = torch.tensor([0.0, 15, -20, 7, 40, -3])
    scale = torch.tensor([1.0, 1.1, 0.8, 0.9, 1.3, 1.0])
    pixels = torch.tensor([[3, -2], [0, 0], [1, 4], [-5, 2], [2, 2], [0, -6]])
    flipped = torch.tensor([True, False, True, True, False, False])
    ours = warp(faces, rotation, scale, pixels / torch.tensor([32, 37]), flipped, "zeros")
    for i, face in enumerate(faces):
        source = F.horizontal_flip(face) if flipped[i] else face
        theirs = F.affine(source, -rotation[i].item(), pixels[i].tolist(), scale[i].item(), [0.0, 0.0], BILINEAR)
        assert (ours[i] - theirs).abs().max() < TOLERANCE


def test_flip_is_exact_and_the_warp_that_only_flips_agrees(faces: Tensor) -> None:
    flipped = torch.tensor([True, False, True, False, False, True])
    ours = flip(faces, flipped)
    assert torch.equal(ours[0], F.horizontal_flip(faces[0]))
    assert torch.equal(ours[1], faces[1])
    rotation, scale, shift, _ = _still(len(faces))
    assert (warp(faces, rotation, scale, shift, flipped) - ours).abs().max() < TOLERANCE


@pytest.mark.parametrize(("fill", "expected"), [("zeros", 0.0), ("border", 9.0), ("reflection", 7.0)])
def test_fill_beyond_the_edge(fill: str, expected: float) -> None:
    columns = torch.arange(10.0).expand(1, 1, 10, 10)
    rotation, scale, shift, flipped = _still(1)
    shift = shift - torch.tensor([0.3, 0.0])  # three pixels to the left: the last column shows column 12
    ours = warp(columns, rotation, scale, shift, flipped, fill)  # type: ignore[arg-type]
    assert ours[0, 0, 5, 9].item() == pytest.approx(expected, abs=1e-4)


def test_stretching_is_a_resize_and_a_crop(faces: Tensor) -> None:
    rotation, scale, shift, flipped = _still(len(faces))
    ours = warp(faces, rotation, scale * 2**0.5, shift, flipped, aspect=scale * 2)  # twice as wide, as high as before
    theirs = F.center_crop(F.resize(faces, [37, 64], BILINEAR), [37, 32])
    assert (ours - theirs).abs().max() < TOLERANCE
    square = faces[:, :, 2:34]
    ours = warp(square, rotation + 90, scale * 2**0.5, shift, flipped, aspect=scale * 2)
    theirs = F.rotate(F.center_crop(F.resize(square, [32, 64], BILINEAR), [32, 32]), 90)  # first stretched, then turned
    assert (ours - theirs).abs().max() < TOLERANCE


def test_each_image_has_its_own_border(faces: Tensor) -> None:
    kinds: list[Fill] = ["reflection", "border", "zeros"]
    rotation, scale = torch.tensor([10.0, -30, 80, 10, -30, 80]), torch.tensor([0.5, 0.9, 1.4, 0.5, 0.9, 1.4])
    shift = torch.tensor([[0.3, -0.2], [0.9, 0.0], [0.0, 0.6]] * 2)
    moves = rotation, scale, shift, torch.tensor([True, False, True, False, True, False])
    border = torch.tensor([MIRRORED, REPEATED, 0.0, 0.0, MIRRORED, REPEATED])
    ours = warp(faces, *moves, "mixed", border=border)
    wanted = [kinds[number] for number in (0, 1, 2, 2, 0, 1)]
    for row, fill in enumerate(wanted):
        theirs = warp(faces, *moves, fill)[row]
        assert (ours[row] - theirs).abs().max() < TOLERANCE, fill
    grey = warp(faces, *moves, "mixed", border=torch.full((6,), 90.0))
    white = warp(torch.ones_like(faces), *moves, "zeros")  # the weight of the picture in each pixel
    assert (grey - (warp(faces, *moves, "zeros") + 90 * (1 - white))).abs().max() < TOLERANCE


def test_borders_are_drawn_in_equal_parts() -> None:
    u = torch.rand(2, 4000, generator=torch.Generator().manual_seed(6))
    borders = draw_borders(u[0], u[1])
    shares = [(borders == value).float().mean().item() for value in (MIRRORED, REPEATED, 0.0)]
    assert shares == pytest.approx([0.25] * 3, abs=0.03)
    assert borders[borders > 0].mean().item() == pytest.approx(127.5, abs=6)


def test_shrinking_is_torchvisions_antialiased_resize(faces: Tensor) -> None:
    images = faces[:, :, :32].to(torch.uint8)
    theirs = F.resize(images, [24, 24], BILINEAR, antialias=True)
    assert (shrink(images, 24).int() - theirs.int()).abs().max() <= 1
    assert shrink(images, 32) is images


def test_coordinates_moved_inside_repeat_the_edge(faces: Tensor) -> None:
    """What stands for fill=border on Apple's GPUs, whose grid_sample has no border."""
    grid = torch.rand(6, 2, 37, 32, generator=torch.Generator().manual_seed(4)) * 4 - 2
    options = {"mode": "bilinear", "align_corners": False}
    sample = torch.nn.functional.grid_sample
    border = sample(faces, grid.permute(0, 2, 3, 1), padding_mode="border", **options)
    ours = sample(faces, inside(grid).permute(0, 2, 3, 1), padding_mode="zeros", **options)
    assert (ours - border).abs().max() < TOLERANCE


def test_a_warp_repeats_the_edge_on_apples_gpus_too(faces: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    shift = torch.full((6, 2), 0.3)
    rotation, scale, _, flipped = _still(6)
    expected = warp(faces, rotation + 9, scale, shift, flipped, "border")
    asked: list[str] = []
    sample = geometry.sample
    monkeypatch.setattr(geometry, "sample", lambda *given: asked.append(given[2]) or sample(*given))
    for answer in [geometry.refuses_border(torch.device(device)) for device in ("cpu", "mps")]:
        monkeypatch.setattr(geometry, "refuses_border", lambda device, answer=answer: answer)
        assert (warp(faces, rotation + 9, scale, shift, flipped, "border") - expected).abs().max() < TOLERANCE
    assert asked == ["border", "zeros"]
