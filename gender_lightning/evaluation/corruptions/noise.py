"""ImageNet-C's noises: `(images, c, scale, draws)` as `catalogue.Function` describes."""

from __future__ import annotations

import torch
from torch import Tensor

from gender_lightning.evaluation.corruptions.randomness import Draws
from gender_lightning.evaluation.corruptions.severity import Scale


def gaussian_noise(images: Tensor, c: float, scale: Scale, draws: Draws) -> Tensor:
    """Add normal noise of standard deviation c to each channel of each pixel."""
    return images + c * draws.normal(*images.shape[1:])


def shot_noise(images: Tensor, c: float, scale: Scale, draws: Draws) -> Tensor:
    """Add photon noise: Poisson numbers of mean c * pixel, divided by c."""
    return draws.poisson((images * 255).round(), c) / c


def impulse_noise(images: Tensor, c: float, scale: Scale, draws: Draws) -> Tensor:
    """Set a fraction c of all channel values to 0 or 1 with equal probability (skimage's random_noise, ``s&p``)."""
    flipped = draws.uniform(*images.shape[1:]) <= c
    salted = draws.uniform(*images.shape[1:]) <= 0.5
    return torch.where(flipped, salted.to(images.dtype), images)
