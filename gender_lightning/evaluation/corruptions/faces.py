"""Corruptions specific to faces: side light, masks, sunglasses, imprecise detection.

Mask and sunglasses are drawn where an aligned face has mouth and eyes (`FacePlace`), not where a detector finds
them: they fit data aligned like CelebA, and other data approximately.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gender_lightning.data.framing import Framing
from gender_lightning.evaluation.corruptions.randomness import Draws
from gender_lightning.evaluation.corruptions.severity import Scale
from gender_lightning.transforms.geometry import warp

_LENSES = ((0.03, 0.03, 0.04), (0.12, 0.07, 0.04), (0.05, 0.09, 0.07))
_CLOTHS = ((0.55, 0.74, 0.84), (0.94, 0.94, 0.93), (0.10, 0.10, 0.12), (0.62, 0.72, 0.66))
_MIDDLE, _EYES, _EYE_APART, _CHIN = 89.0, 111.0, 20.0, 184.0  # px in CelebA's aligned 178 x 218 pictures


@dataclass(frozen=True)
class FacePlace:
    """Position of an aligned face, in fractions of the framed picture's width and height.

    Attributes:
        middle: Middle of the face, from the left.
        eyes: Height of the eyes, from the top.
        chin: Height of the chin.
        apart: Half the distance between the eyes.
        aspect: Height over width of what was a square in the original (1 unless the framing stretches).
    """

    middle: float
    eyes: float
    chin: float
    apart: float
    aspect: float

    @classmethod
    def of(cls, framing: Framing) -> FacePlace:
        """The position of faces in CelebA's aligned pictures under a framing."""
        top, left, height, width = framing.box(218, 178)
        return cls(
            (_MIDDLE - left) / width, (_EYES - top) / height, (_CHIN - top) / height, _EYE_APART / width, width / height
        )


def side_light(images: Tensor, c: float, scale: Scale, draws: Draws) -> Tensor:
    """Darken towards one side, in linear light, down to 1 - c, in a direction up to 30 degrees off the horizontal."""
    side = torch.where(draws.uniform() < 0.5, -1.0, 1.0)
    slant = torch.deg2rad(draws.uniform(low=-30, high=30))
    line = torch.linspace(-1, 1, images.shape[-1], device=images.device)
    along = line * torch.cos(slant)[:, None, None] + line[:, None] * torch.sin(slant)[:, None, None]
    dark = ((along * side[:, None, None] + 1) / 2).clamp(0, 1)
    return images * ((1 - c * dark) ** (1 / 2.2))[:, None]


def sunglasses(images: Tensor, c: tuple[float, float], scale: Scale, draws: Draws, place: FacePlace) -> Tensor:
    """Draw two dark lenses and a bridge: c[0] is half the width of a lens (in the square framing), c[1] its opacity."""
    x, y = _grid(images, place)
    half = c[0] * place.apart / 0.112  # the eyes are 0.112 from the middle in the square crop
    lens = ((x.abs() - place.apart) / half).abs() ** 3 + (y / (0.72 * half)).abs() ** 3
    bridge = torch.maximum((x.abs() / place.apart), ((y + 0.25 * half) / (0.13 * half)).abs())
    shade = torch.maximum(_inside(lens, images, half), _inside(bridge, images, 0.13 * half))
    colors = _choice(images, _LENSES, draws)
    return torch.lerp(images, colors, c[1] * shade)


def mask(images: Tensor, c: float, scale: Scale, draws: Draws, place: FacePlace) -> Tensor:
    """Draw a pleated mask over the lower face, c of the way from chin to eyes, in one of four colours."""
    x, y = _grid(images, place)
    chin = (place.chin - place.eyes) * place.aspect**-1
    height = c * chin
    middle, tall = chin - height / 2, height / 2 * 1.06
    wide = place.apart * 2.25
    cloth = (x / (wide * (1 - 0.22 * ((y - middle) / tall).clamp(-1, 1)))).abs() ** 4 + ((y - middle) / tall).abs() ** 4
    pleats = 1 - 0.10 * (torch.cos((y - middle) / tall * 9.5) > 0.8).to(images.dtype) - 0.12 * (x / wide) ** 2
    colors = _choice(images, _CLOTHS, draws) * pleats
    return torch.lerp(images, colors, _inside(cloth, images, tall))


def rotation(images: Tensor, c: float, scale: Scale, draws: Draws) -> Tensor:
    """Rotate by c degrees in either direction, mirroring at the edges."""
    sign = torch.where(draws.uniform() < 0.5, -1.0, 1.0)
    return _moved(images, rotation=c * sign)


def crop_shift(images: Tensor, c: float, scale: Scale, draws: Draws) -> Tensor:
    """Shift the frame by c of the side in a random direction."""
    angle = draws.uniform() * (2 * torch.pi)
    return _moved(images, translation=torch.stack((torch.cos(angle), torch.sin(angle)), 1) * c)


def crop_scale(images: Tensor, c: float, scale: Scale, draws: Draws) -> Tensor:
    """Make the frame too narrow or too wide by the factor c, with equal probability."""
    factor = torch.full((len(images),), float(c), device=images.device)
    return _moved(images, scale=torch.where(draws.uniform() < 0.5, factor, 1 / factor))


def _moved(
    images: Tensor, rotation: Tensor | None = None, scale: Tensor | None = None, translation: Tensor | None = None
) -> Tensor:
    count, device = len(images), images.device
    return warp(
        images,
        torch.zeros(count, device=device) if rotation is None else rotation,
        torch.ones(count, device=device) if scale is None else scale,
        torch.zeros(count, 2, device=device) if translation is None else translation,
        torch.zeros(count, dtype=torch.bool, device=device),
    )


def _grid(images: Tensor, place: FacePlace) -> tuple[Tensor, Tensor]:
    """Distance from the point between the eyes, right and down, both in picture widths; (1, S) and (S, 1)."""
    line = (torch.arange(images.shape[-1], device=images.device) + 0.5) / images.shape[-1]
    return (line - place.middle)[None], ((line - place.eyes) / place.aspect)[:, None]


def _inside(level: Tensor, images: Tensor, size: float) -> Tensor:
    """1 inside the curve level = 1 and 0 outside, smoothed over about a pixel; `size` is half the curve's width."""
    sharp = 2.0 * images.shape[-1] * size
    return ((1 - level) * sharp + 0.5).clamp(0, 1)


def _choice(images: Tensor, colors: tuple[tuple[float, ...], ...], draws: Draws) -> Tensor:
    """Choose one of the colours for each image, float32 (B, 3, 1, 1)."""
    table = images.new_tensor(colors)
    return table[draws.integers(low=0, high=len(colors))][:, :, None, None]
