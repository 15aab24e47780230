"""Rotation, scale, translation and flip as one affine warp of the batch; antialiased shrinking."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from gender_lightning.transforms.settings import Fill

MIRRORED, REPEATED = -2.0, -1.0  # kinds of border without a level of their own


def shrink(images: Tensor, size: int) -> Tensor:
    """Resize a square batch to ``size`` pixels, antialiased bilinear, rounded to whole levels.

    On a CPU torch has a fast kernel for uint8; elsewhere the same is computed in float32 and rounded, which
    may differ by one level.

    Args:
        images: Images, uint8 (B, 3, H, W).
        size: Side of the result in pixels.

    Returns:
        The resized images, uint8 (B, 3, size, size).
    """
    if images.shape[-2:] == (size, size):
        return images
    if images.device.type == "cpu":
        return F.interpolate(images, (size, size), mode="bilinear", antialias=True)
    resized = F.interpolate(images.to(torch.float32), (size, size), mode="bilinear", antialias=True)
    return resized.round_().clamp_(0, 255).to(torch.uint8)


def flip(images: Tensor, flipped: Tensor) -> Tensor:
    """Mirror those images, float32 (B, C, H, W), that ``flipped``, bool (B,), names; returns a new tensor, exact."""
    # lerp with a weight of exactly 0 or 1 is a choice, in a third of torch.where's time on a CPU.
    return torch.lerp(images, images.flip(-1), flipped.to(images.dtype)[:, None, None, None])


def inverse_affine(
    rotation: Tensor, scale: Tensor, flipped: Tensor, aspect: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The linear map from an output pixel back to its source, both measured from the image's centre, y down.

    The forward map is flip, then scale (by scale * sqrt(aspect) across and scale / sqrt(aspect) down), then rotation
    (degrees, counter-clockwise as seen); the result is its inverse ((a, b), (c, d)) as a, b, c, d, each float32 (B,).
    """
    angle = torch.deg2rad(rotation)
    cosine, sine = torch.cos(angle) / scale, torch.sin(angle) / scale
    mirror = 1 - 2 * flipped.to(scale.dtype)
    if aspect is None:
        return mirror * cosine, -mirror * sine, sine, cosine
    down = torch.sqrt(aspect)
    across = mirror / down
    return across * cosine, -across * sine, down * sine, down * cosine


def warp(
    images: Tensor,
    rotation: Tensor,
    scale: Tensor,
    translation: Tensor,
    flipped: Tensor,
    fill: Fill = "reflection",
    *,
    aspect: Tensor | None = None,
    border: Tensor | None = None,
) -> Tensor:
    """Flip, scale, rotate about the centre and shift, in one bilinear resampling.

    Equal to ``torchvision.transforms.v2.functional.horizontal_flip`` followed by ``affine(angle=-rotation,
    translate, scale, shear=0)`` up to rounding in float32 (within 0.05 of 255 levels). Torchvision rounds a
    random shift to whole pixels; here it is kept as drawn.

    Args:
        images: Images, float32 (B, C, H, W).
        rotation: Angles in degrees, float32 (B,), counter-clockwise as in torchvision's ``rotate``.
        scale: Factors, float32 (B,); above 1 enlarges.
        translation: Shifts to the right and down, float32 (B, 2), as fractions of width and height.
        flipped: Which images are mirrored, bool (B,).
        fill: What lies beyond the edge: "reflection", "border" (the edge repeated), "zeros", or "mixed" (``border``).
        aspect: Factors of width over height, float32 (B,), by which a picture is stretched before it is rotated, the
            area kept; None for 1.
        border: What lies beyond the edge of each image, float32 (B,), from `draw_borders`; for "mixed" only.

    Returns:
        The warped images, float32 (B, C, H, W), contiguous.
    """
    height, width = images.shape[-2:]
    grid = _grid(inverse_affine(rotation, scale, flipped, aspect), translation, height, width)
    if fill == "mixed":
        assert border is not None
        return sample_mixed(images, grid, border)
    if fill == "border" and refuses_border(images.device):
        grid, fill = inside(grid), "zeros"
    return sample(images, grid, fill)


def refuses_border(device: torch.device) -> bool:
    """Whether this device's ``grid_sample`` does not repeat the edge: Apple's GPUs."""
    return device.type == "mps"


def _grid(inverse: tuple[Tensor, Tensor, Tensor, Tensor], translation: Tensor, height: int, width: int) -> Tensor:
    """The source of each output pixel in ``grid_sample``'s convention (-1 to 1): x and y, float32 (B, 2, H, W).

    Sums of a row and a column instead of a matrix product: thirty times as fast on a CPU as affine_grid, and neither
    TF32 nor bfloat16 can creep into the coordinates.
    """
    a, b, c, d = inverse
    across, down = (
        torch.arange(side, device=a.device) - (side - 1) / 2 - shift[:, None] * side
        for side, shift in ((width, translation[:, 0]), (height, translation[:, 1]))
    )
    of_columns, of_rows = (
        torch.stack((x * (2 / width), y * (2 / height)), 1)[:, :, None] * line[:, None]
        for x, y, line in ((a, c, across), (b, d, down))
    )
    return of_columns[:, :, None] + of_rows[..., None]


def sample(images: Tensor, grid: Tensor, fill: str) -> Tensor:
    """Sample bilinearly at coordinates x and y, float32 (B, 2, H, W) in ``grid_sample``'s convention."""
    return F.grid_sample(images, grid.permute(0, 2, 3, 1), mode="bilinear", padding_mode=fill, align_corners=False)


def draw_borders(kind: Tensor, level: Tensor) -> Tensor:
    """What lies beyond the edge of each image: a mirror image, the edge repeated, black, an even grey; a quarter each.

    Args:
        kind: Uniform random numbers, float32 (B,) in [0, 1).
        level: Uniform random numbers for the grey, float32 (B,) in [0, 1).

    Returns:
        `MIRRORED`, `REPEATED`, or the level of an even grey in 0..255, float32 (B,).
    """
    even = 255 * level * (kind >= 0.75)
    return torch.where(kind < 0.25, MIRRORED, torch.where(kind < 0.5, REPEATED, even))


def sample_mixed(images: Tensor, grid: Tensor, border: Tensor) -> Tensor:
    """Sample as `sample` does, with another fill for each image.

    Where it is not mirrored, coordinates stop at the edge, which repeats it. An even grey is blended in by the weight
    that a bilinear sample beyond the edge gives it, so that level 0 is the same as "zeros".

    Args:
        images: Images, float32 (B, C, H, W).
        grid: Coordinates, float32 (B, 2, H, W).
        border: Kinds of border from `draw_borders`, float32 (B,).
    """
    height, width = images.shape[-2:]
    kind = border[:, None, None, None]
    limits = torch.stack([torch.full((), 1 - 1 / side, device=grid.device) for side in (width, height)])[:, None, None]
    stop = torch.where(kind == MIRRORED, torch.inf, limits)
    stopped = torch.minimum(torch.maximum(grid, -stop), stop)
    sampled = sample(images, stopped, "reflection")
    beyond = (grid - stopped).abs()
    inside = (1 - beyond[:, :1] * (width / 2)).clamp(min=0) * (1 - beyond[:, 1:] * (height / 2)).clamp(min=0)
    return torch.lerp(sampled, kind, (1 - inside) * (kind >= 0))


def inside(grid: Tensor) -> Tensor:
    """Clamp coordinates to the centres of the outermost pixels, so that sampling repeats the edge.

    Args:
        grid: Coordinates x and y in the convention of ``grid_sample`` (-1 to 1, edge to edge), float32 (B, 2, H, W),
            in an image of the same size.
    """
    limits = grid.new_tensor([1 - 1 / grid.shape[3], 1 - 1 / grid.shape[2]])[:, None, None]
    return torch.minimum(torch.maximum(grid, -limits), limits)
