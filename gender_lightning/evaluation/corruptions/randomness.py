"""Random numbers with one stream per image, so that they do not depend on the batch an image is in."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gender_lightning.transforms.randomness import step_key, uniforms


class Draws:
    """Random fields for the images of a batch, keyed by (seed, corruption, image).

    Each call advances the stream of every image, so calls in the same order give the same numbers. The severity
    is not part of the key: the five severities of a corruption differ only in strength.

    Args:
        seed: Seed of the evaluation.
        corruption: Number of the corruption.
        indices: int64 (B,), the index of each image.
    """

    def __init__(self, seed: int, corruption: int, indices: Tensor) -> None:
        self._key = step_key(seed, corruption)
        self._indices = indices
        self._used = 0

    def __len__(self) -> int:
        return len(self._indices)

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Uniform numbers in [low, high), float32 (B, *shape)."""
        count = math.prod(shape)
        values = uniforms(self._key, self._indices, count, self._used).reshape(len(self), *shape)
        self._used += count
        return values if (low, high) == (0.0, 1.0) else low + (high - low) * values

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers, float32 (B, *shape), by inversion of the distribution function."""
        # half a step (2**-25) away from 0 and 1, where the inverse is infinite
        centred = (self.uniform(*shape) - (0.5 - 2.0**-25)) * 2
        return torch.erfinv(centred) * math.sqrt(2)

    def integers(self, *shape: int, low: int, high: int) -> Tensor:
        """Uniform integers in low .. high - 1, int64 (B, *shape), as numpy's randint."""
        return low + (self.uniform(*shape) * (high - low)).long().clamp_(max=high - low - 1)

    def poisson(self, levels: Tensor, rate: float) -> Tensor:
        """Poisson numbers of mean ``levels / 255 * rate``, by inversion: float32 of the shape of ``levels``.

        Args:
            levels: (B, ...), whole numbers 0..255.
            rate: Mean at level 255, at most 1000.
        """
        uniform = self.uniform(*levels.shape[1:])
        # One table row per level; row v holds v + P(X <= k), so that a single sorted search serves all levels.
        # float64 keeps what float32 would lose in v + ...; Apple's GPUs lack it, so the host searches instead.
        device = torch.device("cpu") if levels.device.type == "mps" else levels.device
        mean = torch.arange(256, dtype=torch.float64, device=device)[:, None] / 255 * rate
        count = torch.arange(int(rate + 10 * math.sqrt(rate) + 20), dtype=torch.float64, device=device)
        mass = torch.exp(torch.special.xlogy(count, mean) - mean - torch.lgamma(count + 1))
        rows = torch.arange(256, dtype=torch.float64, device=device)[:, None]
        table = rows + mass.cumsum(1).clamp(max=1)
        wanted = levels.to(device).double() + uniform.to(device).double()
        place = torch.searchsorted(table.reshape(-1), wanted.reshape(-1), right=True).reshape(levels.shape)
        found = place - levels.to(device).long() * len(count)
        return found.clamp(0, len(count) - 1).to(levels.device, torch.float32)
