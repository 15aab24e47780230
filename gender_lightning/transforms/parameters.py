"""The random parameters of each image, from torchvision's documented distributions."""

from __future__ import annotations

from dataclasses import dataclass, fields

from torch import Tensor

from gender_lightning.transforms import erasing
from gender_lightning.transforms.randomness import Stream, uniforms
from gender_lightning.transforms.settings import AugmentationSettings


@dataclass(frozen=True)
class Parameters:
    """What is done to each of B images; None: that part is skipped for the whole batch.

    Attributes:
        rotation: float32 (B,), degrees, counter-clockwise.
        scale: float32 (B,).
        translation: float32 (B, 2), right and down, fractions of the side.
        flipped: bool (B,).
        brightness: float32 (B,) factor.
        contrast: float32 (B,) factor.
        saturation: float32 (B,) factor.
        hue: float32 (B,) turns.
        erased: int64 (B, 4) top, left, height, width in pixels.
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


def draw_parameters(settings: AugmentationSettings, indices: Tensor, key: int, height: int, width: int) -> Parameters:
    """Draw for each image; a pure function of (settings, key, index, size), whatever the rest of the batch.

    The uniform numbers behind it are bit-identical on every device; angles, logarithms and roots of them may
    differ in the last bit between CPU and GPU.

    Args:
        settings: what is on, and how strongly.
        indices: int64 (B,), which image each row is; its device is the parameters'.
        key: from `step_key`.
        height: of the augmented image in pixels (for the erased box).
        width: the same.
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
