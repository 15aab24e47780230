"""The catalogue of all corruptions, and the function that applies them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gender_lightning.data.framing import Framing
from gender_lightning.evaluation.corruptions import blur, digital, faces, noise, weather
from gender_lightning.evaluation.corruptions.randomness import Draws
from gender_lightning.evaluation.corruptions.severity import FACES, SEVERITIES, Scale

# (images float32 (B, 3, S, S) in 0..1, parameters of a severity, scale, draws) -> float32 (B, 3, S, S), any range
Function = Callable[..., Tensor]


@dataclass(frozen=True)
class Corruption:
    """One kind of corruption.

    Attributes:
        name: The name used in corruptions.csv.
        group: ``noise``, ``blur``, ``weather``, ``digital`` (ImageNet-C's fifteen) or ``face``.
        function: See `Function`.
        number: Part of the key of its random numbers, which must never change.
    """

    name: str
    group: str
    function: Function
    number: int

    @property
    def needs_place(self) -> bool:
        """Whether it is drawn at a certain place in the face."""
        return self.function in (faces.sunglasses, faces.mask)


_GROUPS: dict[str, tuple[Function, ...]] = {
    "noise": (noise.gaussian_noise, noise.shot_noise, noise.impulse_noise),
    "blur": (blur.defocus_blur, blur.glass_blur, blur.motion_blur, blur.zoom_blur),
    "weather": (weather.snow, weather.frost, weather.fog, weather.brightness),
    "digital": (digital.contrast, digital.elastic_transform, digital.pixelate, digital.jpeg_compression),
    "face": (
        faces.side_light, faces.sunglasses, faces.mask, digital.low_resolution, faces.rotation, faces.crop_shift,
        faces.crop_scale,
    ),
}  # fmt: skip
_LISTED = [(function, group) for group, functions in _GROUPS.items() for function in functions]
CORRUPTIONS: dict[str, Corruption] = {
    function.__name__: Corruption(function.__name__, group, function, number)
    for number, (function, group) in enumerate(_LISTED, start=1)
}
GROUPS = tuple(_GROUPS)


def corrupt(
    name: str, severity: int, images: Tensor, indices: Tensor, *, seed: int = 0, framing: Framing | None = None
) -> Tensor:
    """Corrupt a batch; the result for an image does not depend on the batch it is in.

    Args:
        name: A key of `CORRUPTIONS`.
        severity: 1 (mild) to 5.
        images: (B, 3, S, S), RGB, uint8, or floating point in 0..1, which is first rounded to the
            levels of 8-bit pictures.
        indices: int64 (B,), the index of each image, which is the key of its random numbers; on the images' device.
        seed: Random seed.
        framing: Framing of the pictures, which places mask and sunglasses; None means CelebA's centred square.

    Returns:
        A tensor with the shape, dtype and range of `images`, truncated to whole levels as in the published code.
    """
    assert severity in SEVERITIES and images.shape[-1] == images.shape[-2]
    corruption, size = CORRUPTIONS[name], images.shape[-1]
    whole = images.to(torch.float32) if images.dtype == torch.uint8 else (images.float() * 255).round()
    scale, draws = Scale.of(size), Draws(seed, corruption.number, indices)
    own = corruption.group == "face"
    parameters: Any = FACES[name][severity - 1] if own else scale.parameters(name, severity)
    more = {"place": faces.FacePlace.of(framing or Framing(size))} if corruption.needs_place else {}
    corrupted = corruption.function(whole.clamp(0, 255) / 255, parameters, scale, draws, **more)
    # a little more, or 37 / 255 * 255 would become 36
    levels = torch.floor(corrupted.clamp(0, 1) * 255 + 1e-3)
    return levels.to(torch.uint8) if images.dtype == torch.uint8 else (levels / 255).to(images.dtype)
