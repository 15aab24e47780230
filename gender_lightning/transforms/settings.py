"""The kinds and strengths of augmentation: plain numbers, under torchvision's names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Fill = Literal["reflection", "border", "zeros", "mixed"]


@dataclass(frozen=True)
class ColorJitter:
    """Strengths with the meaning that ``torchvision.transforms.ColorJitter`` gives them; 0 switches a part off.

    Brightness, contrast and saturation are factors from [max(0, 1 - x), 1 + x]; hue is a shift from
    [-hue, hue] turns, hue in [0, 0.5].
    """

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0


@dataclass(frozen=True)
class GaussianBlur:
    """With this probability a blur as ``torchvision.transforms.GaussianBlur``'s, sigma in px uniform between both."""

    probability: float = 0.0
    sigma: tuple[float, float] = (0.1, 2.0)


@dataclass(frozen=True)
class Downscale:
    """With this probability a picture is shrunk and enlarged again, as by Albumentations' ``Downscale``.

    The smaller side is log-uniform between ``smallest`` px and that of the picture.
    """

    probability: float = 0.0
    smallest: int = 24


@dataclass(frozen=True)
class Jpeg:
    """With this probability the losses of ``torchvision.transforms.v2.JPEG``, the quality uniform between both."""

    probability: float = 0.0
    quality: tuple[int, int] = (30, 95)


@dataclass(frozen=True)
class ProgressiveStage:
    """Train at ``image_size`` pixels until this fraction (0..1] of the training is done."""

    until: float
    image_size: int


@dataclass(frozen=True)
class AugmentationSettings:
    """The strengths of all augmentations; everything is off by default.

    Attributes:
        random_rotation: Largest angle x in degrees; the angle is uniform in [-x, x].
        random_horizontal_flip: Probability of a flip.
        color_jitter: Strengths of the colour changes, see `ColorJitter`.
        random_erasing: Probability that a rectangle is blanked (after normalisation, with 0).
        random_scale: Smallest and largest factor; the factor is uniform between them.
        random_translation: Largest shift x as a fraction of the side; both shifts are uniform in [-x, x].
        random_aspect_ratio: Smallest and largest factor of width over height; log-uniform, and the area is kept.
        random_grayscale: Probability that the colours are lost.
        gaussian_blur: Blur, see `GaussianBlur`.
        downscale: Loss of resolution, see `Downscale`.
        jpeg: Loss of a JPEG file, see `Jpeg`; on the shrunk picture where `downscale` has shrunk it.
        mixup: Alpha of MixUp's Beta(alpha, alpha); 0 is off.
        cutmix: Alpha of CutMix's Beta(alpha, alpha); 0 is off.
        fill: What a warp shows beyond the edge of the picture; mixed: each picture has its own of the three or an even
            grey.
        progressive: Stages of smaller images, by rising ``until``; after the last, the full size.

    Example:
        >>> settings = AugmentationSettings(random_rotation=10, progressive=(ProgressiveStage(0.5, 64),))
        >>> settings.size_at(0.2), settings.size_at(0.5)
        (64, None)
    """

    random_rotation: float = 0.0
    random_horizontal_flip: float = 0.0
    color_jitter: ColorJitter = field(default_factory=ColorJitter)
    random_erasing: float = 0.0
    random_scale: tuple[float, float] = (1.0, 1.0)
    random_translation: float = 0.0
    random_aspect_ratio: tuple[float, float] = (1.0, 1.0)
    random_grayscale: float = 0.0
    gaussian_blur: GaussianBlur = field(default_factory=GaussianBlur)
    downscale: Downscale = field(default_factory=Downscale)
    jpeg: Jpeg = field(default_factory=Jpeg)
    mixup: float = 0.0
    cutmix: float = 0.0
    fill: Fill = "reflection"
    progressive: tuple[ProgressiveStage, ...] = ()

    @property
    def mixes(self) -> bool:
        """Whether images are mixed with one another, so that targets become soft."""
        return self.mixup > 0 or self.cutmix > 0

    @property
    def changes_nothing(self) -> bool:
        """Whether everything is off, so that a picture is the same in every epoch."""
        jitter = self.color_jitter
        strengths = (
            self.random_rotation, self.random_horizontal_flip, self.random_erasing, self.random_translation,
            jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue, self.random_grayscale,
            self.gaussian_blur.probability, self.downscale.probability, self.jpeg.probability,
        )  # fmt: skip
        ranges = (tuple(self.random_scale), tuple(self.random_aspect_ratio))
        return not (any(strengths) or self.mixes or self.progressive) and ranges == ((1, 1), (1, 1))

    @property
    def has_others(self) -> bool:
        """Whether anything is on that draws numbers beyond `Stream.MIX_END`."""
        chances = (
            self.random_grayscale,
            self.gaussian_blur.probability,
            self.downscale.probability,
            self.jpeg.probability,
        )
        return any(chances) or tuple(self.random_aspect_ratio) != (1, 1) or self.fill == "mixed"

    def size_at(self, progress: float) -> int | None:
        """Side in pixels at this fraction (0..1) of the training; None means the full size."""
        for stage in self.progressive:
            if progress < stage.until:
                return stage.image_size
        return None

    def pixels_from(self, progress: float, image_size: int) -> float:
        """Mean number of pixels of an image from this fraction of the training on, as a share of the full size's."""
        ends = [stage.until for stage in self.progressive if stage.until > progress]
        starts = [progress, *ends]
        spans = [end - start for start, end in zip(starts, [*ends, 1.0], strict=True)]
        shares = [((self.size_at(start) or image_size) / image_size) ** 2 for start in starts]
        left = sum(spans)
        return sum(span * share for span, share in zip(spans, shares, strict=True)) / left if left > 0 else 1.0
