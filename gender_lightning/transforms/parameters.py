"""The random parameters of each image, from torchvision's documented distributions."""

from __future__ import annotations

from dataclasses import dataclass, fields

from torch import Tensor

from gender_lightning.transforms import erasing
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
        height: Height of the augmented image in pixels (for the erased box).
        width: Width of the augmented image in pixels.
    """
    u = uniforms(key, indices, Stream.AUGMENT_END)

    def between(low: float, high: float, stream: Stream) -> Tensor | None:
        return None if low == high else low + (high - low) * u[:, stream]

    def factor(strength: float, stream: Stream) -> Tensor | None:
        return between(max(0.0, 1 - strength), 1 + strength, stream) if strength > 0 else None

    s, color = settings, settings.color_jitter
    shift, turn, probability = s.random_translation, s.random_rotation, s.random_horizontal_flip
    return Parameters(
        rotation=between(-turn, turn, Stream.ROTATION),
        scale=_scale(settings, u),
        translation=(2 * u[:, Stream.SHIFT_X : Stream.SHIFT_Y + 1] - 1) * shift if shift > 0 else None,
        flipped=u[:, Stream.FLIP] < probability if probability > 0 else None,
        brightness=factor(color.brightness, Stream.BRIGHTNESS),
        contrast=factor(color.contrast, Stream.CONTRAST),
        saturation=factor(color.saturation, Stream.SATURATION),
        hue=between(-color.hue, color.hue, Stream.HUE),
        erased=_erased(s.random_erasing, u, height, width),
    )


def _scale(settings: AugmentationSettings, u: Tensor) -> Tensor | None:
    low, high = settings.random_scale
    return None if low == high == 1 else low + (high - low) * u[:, Stream.SCALE]


def _erased(probability: float, u: Tensor, height: int, width: int) -> Tensor | None:
    if probability <= 0:
        return None
    tries = u[:, Stream.ERASE_TRIES : Stream.ERASE_TRIES + 2 * erasing.TRIES]
    top, left = u[:, Stream.ERASE_TOP], u[:, Stream.ERASE_LEFT]
    boxes = erasing.draw_boxes(tries[:, 0::2], tries[:, 1::2], top, left, height, width)
    return boxes * (u[:, Stream.ERASE] < probability)[:, None]
