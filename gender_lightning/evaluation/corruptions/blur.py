"""ImageNet-C's blurs: `(images, c, scale, draws)` as `catalogue.Function` describes."""

from __future__ import annotations

import torch
from torch import Tensor

from gender_lightning.evaluation.corruptions import filters
from gender_lightning.evaluation.corruptions.randomness import Draws
from gender_lightning.evaluation.corruptions.severity import Scale


def defocus_blur(images: Tensor, c: tuple[float, float], scale: Scale, draws: Draws) -> Tensor:
    """Average over a disk of radius c[0] whose edge is smoothed by c[1]."""
    return filters.filter_2d(images, filters.disk(c[0] * scale.factor, c[1]))


def glass_blur(images: Tensor, c: tuple[float, int, int], scale: Scale, draws: Draws) -> Tensor:
    """Blur by c[0], move pixels by up to c[1] pixels, c[2] times, and blur again."""
    sigma, reach = c[0] * scale.factor, max(1, round(c[1] * scale.factor))
    blurred = (
        torch.floor(filters.gaussian_blur(images, sigma).clamp(0, 1) * 255 + 1e-3) / 255
    )  # truncated as by np.uint8
    inner = images.shape[-1] - 2 * reach
    if inner > 0:
        moves = draws.integers(c[2], inner, inner, 2, low=-reach, high=reach)
        blurred = shuffled(blurred, moves, reach)
    return filters.gaussian_blur(blurred, sigma)


def shuffled(images: Tensor, moves: Tensor, reach: int) -> Tensor:
    """Replace each pixel, from the lower right to the upper left, by the value at its displacement.

    The published code swaps two NumPy views, which really copies one of them; this is reproduced here. It goes pixel
    by pixel, and each pixel sees the values copied before it. All pixels of a slanted front are out of each other's
    reach and are processed at once, which does not change the result.

    Args:
        images: (B, C, S, S).
        moves: int64 (B, R, N, N, 2), N = S - 2 * reach: the displacement (dx, dy) in -reach .. reach - 1 for each of R
            rounds and each pixel in that order.
        reach: The largest displacement in pixels.
    """
    batch, size, inner = len(images), images.shape[-1], moves.shape[2]
    offset = (moves[..., 1] * size + moves[..., 0]).reshape(batch, moves.shape[1], inner * inner)
    source = torch.arange(size * size, device=images.device).repeat(batch, 1)
    slant = reach + 1
    for passed in range(moves.shape[1]):
        for front in range((inner - 1) * slant + inner):
            first = max(0, -(-(front - inner + 1) // slant))
            rows = torch.arange(first, min(inner - 1, front // slant) + 1, device=images.device)
            columns = front - rows * slant
            target = (size - reach - rows) * size + size - reach - columns
            taken = source.gather(1, target + offset[:, passed].index_select(1, rows * inner + columns))
            source.index_copy_(1, target, taken)
    flat = images.reshape(batch, images.shape[1], -1)
    return flat.gather(2, source[:, None].expand_as(flat)).reshape(images.shape)


def motion_blur(images: Tensor, c: tuple[float, float], scale: Scale, draws: Draws) -> Tensor:
    """Blur along a line of radius c[0] and sigma c[1], up to 45 degrees off the horizontal."""
    angles = draws.uniform(low=-45, high=45)
    return filters.motion_blur(images, c[0] * scale.factor, c[1] * scale.factor, angles)


def zoom_blur(images: Tensor, c: tuple[int, float], scale: Scale, draws: Draws) -> Tensor:
    """Average the picture with c[0] enlargements, by factors from 1 in steps of c[1]."""
    total = images.clone()
    for step in range(c[0]):
        total += filters.clipped_zoom(images, 1 + step * c[1])
    return total / (c[0] + 1)
