"""Random numbers that are a pure function of (seed, step, image): no state, no order, no device.

Each image has its own splitmix64 stream (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number
generators"), started from a hash of the step's key and the image's index. So an image gets the same numbers
whatever rank or batch it lands in, after a resume, and on CPU and GPU: the bits are made by wrapping int64
arithmetic, which is exact everywhere.
"""

from __future__ import annotations

import math
from enum import IntEnum

import torch
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15
_MIX1 = 0xBF58476D1CE4E5B9
_MIX2 = 0x94D049BB133111EB
_MASK = (1 << 64) - 1


class Stream(IntEnum):
    """Fixed position of each use in an image's stream: switching a part off does not change what the others draw."""

    ROTATION = 0
    SCALE = 1
    SHIFT_X = 2
    SHIFT_Y = 3
    FLIP = 4
    BRIGHTNESS = 5
    CONTRAST = 6
    SATURATION = 7
    HUE = 8
    ERASE = 9
    ERASE_TOP = 10
    ERASE_LEFT = 11
    ERASE_TRIES = 12  # ten pairs (area, ratio): 12..31
    AUGMENT_END = 32
    MIX_PARTNER = 32
    MIX_CHOICE = 33
    MIX_LAMBDA = 34  # two numbers: 34, 35
    MIX_X = 36
    MIX_Y = 37
    MIX_END = 38
    ASPECT = 38
    GRAYSCALE = 39
    FILL = 40
    FILL_LEVEL = 41
    BLUR = 42
    BLUR_SIGMA = 43
    DOWNSCALE = 44
    DOWNSCALE_SIDE = 45
    JPEG = 46
    JPEG_QUALITY = 47
    OTHERS_END = 48


def _signed(value: int) -> int:
    """The 64 bits of ``value`` as int64 reads them (torch has no arithmetic on uint64)."""
    value &= _MASK
    return value - (1 << 64) if value >> 63 else value


def _shift_right(bits: Tensor, by: int) -> Tensor:
    """Logical shift: the arithmetic shift of int64 copies the sign bit, so the copies are masked out."""
    return (bits >> by) & ((1 << (64 - by)) - 1)


def mix64(bits: Tensor) -> Tensor:
    """splitmix64's finaliser, a bijection of 64 bits, on an int64 tensor of any shape."""
    bits = (bits ^ _shift_right(bits, 30)) * _signed(_MIX1)
    bits = (bits ^ _shift_right(bits, 27)) * _signed(_MIX2)
    return bits ^ _shift_right(bits, 31)


def _mix64_int(value: int) -> int:
    value &= _MASK
    value = ((value ^ (value >> 30)) * _MIX1) & _MASK
    value = ((value ^ (value >> 27)) * _MIX2) & _MASK
    return value ^ (value >> 31)


def step_key(seed: int, step: int) -> int:
    """One 64-bit key (as a signed int) for a training step; computed on the host, so no device is waited for."""
    return _signed(_mix64_int(_mix64_int(seed + _GOLDEN) + (step + 1) * _GOLDEN))


def stream_bits(seeds: Tensor, count: int, start: int = 0) -> Tensor:
    """Outputs ``start .. start + count`` of splitmix64 for each seed.

    Args:
        seeds: Initial states of splitmix64, int64 (B,).
        count: Number of outputs.
        start: Number of outputs to skip.

    Returns:
        The outputs, int64 (B, count), all 64 bits random.
    """
    position = torch.arange(start + 1, start + count + 1, device=seeds.device)
    return mix64(seeds[:, None] + position * _signed(_GOLDEN))


def uniforms(key: int | Tensor, indices: Tensor, count: int, start: int = 0) -> Tensor:
    """Uniform numbers keyed by (key, index, position).

    Args:
        key: Key of the training step, from `step_key`; an int, or a scalar int64 tensor on the device.
        indices: Index of each image (its row in the split), int64 (B,).
        count: Number of random numbers per image.
        start: Position of the first, a `Stream`.

    Returns:
        The numbers, float32 (B, count) in [0, 1), multiples of 2**-24: the same bits on every device.
    """
    seeds = mix64(mix64(indices) + key)
    return _shift_right(stream_bits(seeds, count, start), 40).to(torch.float32) * 2.0**-24


def symmetric_beta(uniform: Tensor, angle: Tensor, alpha: float) -> Tensor:
    """Beta(alpha, alpha) from two uniforms, without rejection, for any alpha > 0.

    Devroye 1996, "Random variate generation in one line of code", section 4: exact, and free of loops and
    state, so it can be keyed and needs no wait for the device (a torch generator would draw on the host, in
    the batch's order; an inverse CDF needs a table per alpha).

    Args:
        uniform: Uniform random numbers, float32 in [0, 1), any shape.
        angle: Uniform random numbers of the same shape, independent of ``uniform``.
        alpha: Parameter of the distribution.

    Returns:
        The draws, float32 in [0, 1], same shape.
    """
    cosine = torch.cos(angle * (2 * math.pi))
    spread = torch.expm1(-torch.log(uniform) / alpha)  # infinite at 0: the result is then 0 or 1, as it should be
    return 0.5 + 0.5 * cosine / torch.sqrt(cosine.square() + 1 / spread)
