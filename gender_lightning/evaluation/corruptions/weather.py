"""ImageNet-C's weather: `(images, c, scale, draws)` as `catalogue.Function` describes."""

from __future__ import annotations

import torch
from torch import Tensor

from gender_lightning.evaluation.corruptions import filters
from gender_lightning.evaluation.corruptions.randomness import Draws
from gender_lightning.evaluation.corruptions.severity import Scale

_LUMA = (0.299, 0.587, 0.114)


def snow(images: Tensor, c: tuple[float, ...], scale: Scale, draws: Draws) -> Tensor:
    """Add flakes: normal noise (mean c[0], deviation c[1]), enlarged by c[2], cut off below c[3], motion-blurred.

    The blur has radius c[4] and sigma c[5]; the scene is whitened by 1 - c[6].
    """
    mean, deviation, zoom, least, radius, sigma, kept = c
    size, factor = images.shape[-1], scale.factor
    layer = mean + deviation * draws.normal(1, size, size)
    layer = filters.clipped_zoom(layer, max(1.0, zoom * factor))
    layer = torch.where(layer < least, 0.0, layer).clamp(0, 1)
    layer = torch.floor(layer * 255) / 255
    layer = filters.motion_blur(layer, radius * factor, sigma * factor, draws.uniform(low=-135, high=-45))
    layer = torch.round(layer * 255) / 255  # the picture library keeps whole levels
    weights = images.new_tensor(_LUMA).view(3, 1, 1)
    grey = (images * weights).sum(1, keepdim=True)
    scene = kept * images + (1 - kept) * torch.maximum(images, grey * 1.5 + 0.5)
    return scene + layer + layer.flip(-1, -2)


def frost(images: Tensor, c: tuple[float, float], scale: Scale, draws: Draws) -> Tensor:
    """c[0] * picture + c[1] * frost.

    ImageNet-C crops its frost from six photographs, which we may not redistribute: here it is drawn, bluish white
    crystals on a dark pane of about the same brightness. The formula is the published one.
    """
    return c[0] * images + c[1] * frost_texture(images.shape[-1], draws)


def frost_texture(size: int, draws: Draws) -> Tensor:
    """Drawn frost, float32 (B, 3, size, size) in 0..1: ridges of clouds, in two sizes, denser towards the edges."""
    coarse, fine = clouds(size, 1.8, draws), clouds(size, 1.35, draws)
    needles = (1 - (2 * coarse - 1).abs()) ** 3 * 0.55 + (1 - (2 * fine - 1).abs()) ** 2 * 0.6
    line = torch.linspace(-1, 1, size, device=needles.device)
    edge = torch.maximum(line[:, None].abs(), line.abs()) ** 2
    ice = (needles * (0.65 + 0.55 * edge) + 0.12).clamp(0, 1)
    tint = ice.new_tensor((0.86, 0.95, 1.0)).view(3, 1, 1)
    return ice[:, None] * tint


def fog(images: Tensor, c: tuple[float, float], scale: Scale, draws: Draws) -> Tensor:
    """Adds c[0] * clouds of roughness c[1] and darkens the sum to the old maximum."""
    brightest = images.amax((1, 2, 3), keepdim=True)
    mist = clouds(images.shape[-1], c[1], draws)[:, None]
    return (images + c[0] * mist) * brightest / (brightest + c[0])


def clouds(size: int, decay: float, draws: Draws) -> Tensor:
    """The upper left of `filters.plasma` on the next power of two: float32 (B, size, size) in 0..1."""
    side = 1 << max(1, (size - 1).bit_length())
    return filters.plasma(draws.uniform(side * side, low=-1, high=1), decay)[:, :size, :size]


def brightness(images: Tensor, c: float, scale: Scale, draws: Draws) -> Tensor:
    """Add c to the V of HSV: the channels keep their ratio, black turns grey."""
    value = images.amax(1, keepdim=True)
    brighter = (value + c).clamp(max=1)
    return torch.where(value > 0, images * (brighter / value.clamp_min(1e-6)), brighter)
