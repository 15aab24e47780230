"""The random parameters of each image, from torchvision's documented distributions."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from gender_lightning.transforms import erasing, geometry
from gender_lightning.transforms.constants import constant
from gender_lightning.transforms.randomness import Stream, uniforms
from gender_lightning.transforms.settings import AugmentationSettings


@dataclass(frozen=True)
class Parameters:
    """The parameters of the augmentation of B images; a part that is None is skipped for the whole batch.

    Attributes:
        rotation: Angles in degrees, counter-clockwise, float32 (B,).
        scale: Factors, float32 (B,); above 1 enlarges.
        translation: Shifts to the right and down as fractions of the side, float32 (B, 2).
        flipped: Which images are mirrored, bool (B,).
        brightness: Factors, float32 (B,).
        contrast: Factors, float32 (B,).
        saturation: Factors, float32 (B,).
        hue: Shifts in turns, float32 (B,).
        erased: Boxes, int64 (B, 4): top, left, height, width in pixels.
        aspect: Factors of width over height, float32 (B,).
        border: What fills the area beyond the edge where that differs between images, see `geometry.draw_borders`.
        sigma: Blur in px, float32 (B,); 0 where there is none.
        side: Side of the shrunk picture in whole px, float32 (B,); that of the image where it is not shrunk.
        quality: Quality of the JPEG file, float32 (B,), whole numbers in 1..100; 0 where there is none.
    """

    rotation: Tensor | None = None
    scale: Tensor | None = None
    translation: Tensor | None = None
    flipped: Tensor | None = None
    brightness: Tensor | None = None
    contrast: Tensor | None = None
    saturation: Tensor | None = None
    hue: Tensor | None = None
    erased: Tensor | None = None
    aspect: Tensor | None = None
    border: Tensor | None = None
    sigma: Tensor | None = None
    side: Tensor | None = None
    quality: Tensor | None = None

    @property
    def warps(self) -> bool:
        """Whether pixels move other than by a flip."""
        return not (self.rotation is None and self.scale is None and self.translation is None and self.aspect is None)

    def __getitem__(self, rows: slice) -> Parameters:
        """The parameters of some of the images."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return Parameters(**{name: None if value is None else value[rows] for name, value in values.items()})


def draw_parameters(
    settings: AugmentationSettings, indices: Tensor, key: int | Tensor, height: int, width: int
) -> Parameters:
    """Draw each image's parameters: a pure function of (settings, key, index, size), whatever else is in the batch.

    The uniform numbers behind them are bit-identical on every device; angles, logarithms and roots of them may
    differ in the last bit between CPU and GPU.

    Args:
        settings: What is on, and how strongly.
        indices: Index of the image in each row, int64 (B,), on the device that the parameters shall be on.
        key: Key of the training step, from `step_key`; an int, or a scalar int64 tensor on the device.
        height: Height of the augmented image in pixels (for the erased box and the shrunk image).
        width: Width of the augmented image in pixels.
    """
    u = uniforms(key, indices, Stream.OTHERS_END if settings.has_others else Stream.AUGMENT_END)

    drawn = _between(settings, u)
    others = _others(settings, u, min(height, width)) if settings.has_others else {}
    saturation = drawn.get(Stream.SATURATION)
    if "grey" in others:
        saturation = torch.where(others.pop("grey"), 0.0, 1.0 if saturation is None else saturation)
    probability = settings.random_horizontal_flip
    return Parameters(
        rotation=drawn.get(Stream.ROTATION),
        scale=drawn.get(Stream.SCALE),
        translation=drawn.get(Stream.SHIFT_X),
        flipped=u[:, Stream.FLIP] < probability if probability > 0 else None,
        brightness=drawn.get(Stream.BRIGHTNESS),
        contrast=drawn.get(Stream.CONTRAST),
        saturation=saturation,
        hue=drawn.get(Stream.HUE),
        erased=_erased(settings.random_erasing, u, height, width),
        **others,
    )


def _between(settings: AugmentationSettings, u: Tensor) -> dict[Stream, Tensor]:
    """The numbers that are uniform between two ends, of what is on; both shifts, (B, 2), under the first of them."""
    s, color = settings, settings.color_jitter
    turn, shift = s.random_rotation, s.random_translation
    ends = {
        Stream.ROTATION: (-turn, turn),
        Stream.SCALE: s.random_scale,
        Stream.SHIFT_X: (-shift, shift),
        Stream.SHIFT_Y: (-shift, shift),
        Stream.FLIP: (0.0, 1.0),
        Stream.BRIGHTNESS: _about_one(color.brightness),
        Stream.CONTRAST: _about_one(color.contrast),
        Stream.SATURATION: _about_one(color.saturation),
        Stream.HUE: (-color.hue, color.hue),
    }
    # all at once, since a GPU would need two kernels for each
    spans, lows = (constant(part, u.device) for part in zip(*((b - a, a) for a, b in ends.values()), strict=True))
    drawn = u[:, : len(ends)] * spans + lows
    found = {stream: drawn[:, stream] for stream, (low, high) in ends.items() if low != high}
    if Stream.SHIFT_X in found:
        found[Stream.SHIFT_X] = drawn[:, Stream.SHIFT_X : Stream.SHIFT_Y + 1]
    if s.random_scale[0] == s.random_scale[1] != 1:
        found[Stream.SCALE] = drawn[:, Stream.SCALE]
    return found


def _about_one(strength: float) -> tuple[float, float]:
    return (max(0.0, 1 - strength), 1 + strength) if strength > 0 else (1.0, 1.0)


def _others(settings: AugmentationSettings, u: Tensor, size: int) -> dict[str, Tensor]:
    """Whether an image becomes grey, and the parameters that came later: only those that are on."""
    s = settings
    drawn: dict[str, Tensor] = {}
    if tuple(s.random_aspect_ratio) != (1, 1):
        drawn["aspect"] = _log_uniform(u[:, Stream.ASPECT], *s.random_aspect_ratio)
    if s.random_grayscale > 0:
        drawn["grey"] = u[:, Stream.GRAYSCALE] < s.random_grayscale
    if s.fill == "mixed":
        drawn["border"] = geometry.draw_borders(u[:, Stream.FILL], u[:, Stream.FILL_LEVEL])
    if s.gaussian_blur.probability > 0:
        low, high = s.gaussian_blur.sigma
        sigma = low + (high - low) * u[:, Stream.BLUR_SIGMA]
        drawn["sigma"] = torch.where(u[:, Stream.BLUR] < s.gaussian_blur.probability, sigma, 0.0)
    if s.downscale.probability > 0 and s.downscale.smallest < size:
        side = _log_uniform(u[:, Stream.DOWNSCALE_SIDE], s.downscale.smallest, size).round()
        drawn["side"] = torch.where(u[:, Stream.DOWNSCALE] < s.downscale.probability, side, float(size))
    if s.jpeg.probability > 0:
        worst, best = s.jpeg.quality
        quality = torch.floor(worst + (best - worst + 1) * u[:, Stream.JPEG_QUALITY])
        drawn["quality"] = torch.where(u[:, Stream.JPEG] < s.jpeg.probability, quality, 0.0)
    return drawn


def _log_uniform(u: Tensor, low: float, high: float) -> Tensor:
    return low * torch.exp(math.log(high / low) * u)


def _erased(probability: float, u: Tensor, height: int, width: int) -> Tensor | None:
    if probability <= 0:
        return None
    tries = u[:, Stream.ERASE_TRIES : Stream.ERASE_TRIES + 2 * erasing.TRIES]
    top, left = u[:, Stream.ERASE_TOP], u[:, Stream.ERASE_LEFT]
    boxes = erasing.draw_boxes(tries[:, 0::2], tries[:, 1::2], top, left, height, width)
    return boxes * (u[:, Stream.ERASE] < probability)[:, None]
