"""What the augmentation does and how strongly: plain numbers, under torchvision's names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Fill = Literal["reflection", "border", "zeros"]


@dataclass(frozen=True)
class ColorJitter:
    """Half-widths, as in ``torchvision.transforms.ColorJitter``; 0 switches a part off.

    Brightness, contrast and saturation are factors from [max(0, 1 - x), 1 + x]; hue is a shift from
    [-hue, hue] turns, hue in [0, 0.5].
    """

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0


@dataclass(frozen=True)
class ProgressiveStage:
    """Train at ``image_size`` pixels until this fraction (0..1] of the training is done."""

    until: float
    image_size: int


@dataclass(frozen=True)
class AugmentationSettings:
    """Everything off by default.

    Attributes:
        random_rotation: degrees; the angle is uniform in [-x, x].
        random_horizontal_flip: probability.
        color_jitter: see `ColorJitter`.
        random_erasing: probability that a rectangle is blanked (after normalisation, with 0).
        random_scale: (low, high); the factor is uniform between them.
        random_translation: fraction of the side; both shifts are uniform in [-x, x] of it.
        mixup: alpha of MixUp's Beta(alpha, alpha); 0 is off.
        cutmix: alpha of CutMix's Beta(alpha, alpha); 0 is off.
        fill: what a warp shows beyond the picture's edge.
        progressive: stages of smaller images, by rising ``until``; after the last, the full size.
    """

    random_rotation: float = 0.0
    random_horizontal_flip: float = 0.0
    color_jitter: ColorJitter = field(default_factory=ColorJitter)
    random_erasing: float = 0.0
    random_scale: tuple[float, float] = (1.0, 1.0)
    random_translation: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    fill: Fill = "reflection"
    progressive: tuple[ProgressiveStage, ...] = ()

    @property
    def warps(self) -> bool:
        """Whether anything needs resampling; a flip alone does not."""
        return self.random_rotation > 0 or self.random_translation > 0 or tuple(self.random_scale) != (1.0, 1.0)

    @property
    def mixes(self) -> bool:
        """Whether images are mixed with each other, so that targets become soft."""
        return self.mixup > 0 or self.cutmix > 0

    def size_at(self, progress: float) -> int | None:
        """Side in pixels at this fraction (0..1) of the training; None means the full size."""
        for stage in self.progressive:
            if progress < stage.until:
                return stage.image_size
        return None
