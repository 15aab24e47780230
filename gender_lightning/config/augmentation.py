"""The group `augmentation` of `conf/`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from gender_lightning.config.base import Contradictions, Fraction, NonNegative, Positive, Section, refuse


class ColorJitter(Section):
    """Ranges as torchvision's ColorJitter has them: factor in [1 - x, 1 + x], hue shift in [-x, x]."""

    brightness: NonNegative = Field(description="largest change of brightness, as a factor of 1 - x to 1 + x")
    contrast: NonNegative = Field(description="largest change of contrast, as a factor of 1 - x to 1 + x")
    saturation: NonNegative = Field(description="largest change of saturation, as a factor of 1 - x to 1 + x")
    hue: Annotated[float, Field(ge=0, le=0.5)] = Field(description="largest shift of hue, turns of the colour circle")


class GaussianBlur(Section):
    """A blur as torchvision's GaussianBlur, for a share of the images."""

    probability: Fraction = Field(default=0.0, description="probability of a Gaussian blur")
    sigma: list[Positive] = Field(
        default=[0.1, 2.0], min_length=2, max_length=2, description="[smallest, largest] standard deviation, px"
    )


class Downscale(Section):
    """A loss of resolution as Albumentations' Downscale: shrunk and enlarged again, for a share of the images."""

    probability: Fraction = Field(default=0.0, description="probability that an image is shrunk and enlarged again")
    smallest: Annotated[int, Field(ge=2)] = Field(
        default=24, description="smallest side of a shrunk image, px; smaller images stay as they are"
    )


class Jpeg(Section):
    """The loss of a JPEG file as torchvision's v2.JPEG, for a share of the images."""

    probability: Fraction = Field(default=0.0, description="probability of the losses of a JPEG file")
    quality: list[Annotated[int, Field(ge=1, le=100)]] = Field(
        default=[30, 95], min_length=2, max_length=2, description="[lowest, highest] quality of the file"
    )


class Progressive(Section):
    """Train at a smaller size until a share of the training is over."""

    until: Annotated[float, Field(gt=0, lt=1)] = Field(description="share of the training at which this size ends")
    image_size: Annotated[int, Field(ge=16)] = Field(description="side of the input until then, px")


class AugmentationConfig(Section):
    """Random changes of the training images, drawn per image, on the device."""

    random_rotation: Annotated[float, Field(ge=0, le=180)] = Field(description="largest rotation either way, degrees")
    random_horizontal_flip: Fraction = Field(description="probability of a mirror image")
    color_jitter: ColorJitter
    random_erasing: Fraction = Field(description="probability that a rectangle is erased")
    random_scale: list[Positive] = Field(min_length=2, max_length=2, description="[smallest, largest] factor of size")
    random_translation: Fraction = Field(description="largest shift, as a share of the side")
    random_aspect_ratio: list[Positive] = Field(
        default=[1.0, 1.0], min_length=2, max_length=2, description="[smallest, largest] factor of width over height"
    )
    random_grayscale: Fraction = Field(default=0.0, description="probability that an image loses its colours")
    gaussian_blur: GaussianBlur = Field(default_factory=GaussianBlur)
    downscale: Downscale = Field(default_factory=Downscale)
    jpeg: Jpeg = Field(default_factory=Jpeg)
    mixup: NonNegative = Field(description="MixUp's alpha of the Beta distribution; 0 is off")
    cutmix: NonNegative = Field(description="CutMix's alpha of the Beta distribution; 0 is off")
    fill: Literal["reflection", "border", "zeros", "mixed"] = Field(
        description="what fills the area outside the picture; mixed: one of these or an even grey, for each image"
    )
    progressive: list[Progressive] = Field(
        description="smaller inputs early: [{until: 0.5, image_size: 64}] for the first half"
    )
    extra: dict[str, dict[str, Any]] = Field(
        description="further transforms of a batch by _target_: torchvision.transforms.v2, kornia, your own packages"
    )

    @model_validator(mode="after")
    def _ordered(self) -> AugmentationConfig:
        ranges: dict[str, Sequence[float]] = {
            "random_scale": self.random_scale,
            "random_aspect_ratio": self.random_aspect_ratio,
            "gaussian_blur.sigma": self.gaussian_blur.sigma,
            "jpeg.quality": self.jpeg.quality,
        }
        wrong = [name for name, (low, high) in ranges.items() if low > high]
        refuse(
            [(f"{name}={ranges[name]} is not [smallest, largest]", "Put the smaller number first.") for name in wrong]
        )
        ends = [stage.until for stage in self.progressive]
        if ends != sorted(set(ends)):
            problem = "the progressive stages are not in the order of `until`"
            raise Contradictions([(problem, "Sort them, with a different `until` for each.")])
        return self
