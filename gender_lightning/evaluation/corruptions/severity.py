"""Parameters of the five severities at any image size.

Hendrycks and Dietterich (2019, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations")
published three sets of parameters, each tuned to its image size: ImageNet-C (224 px), Tiny-ImageNet-C (64 px) and
CIFAR-10-C (32 px). They differ in more than scale, since a small picture carries less redundancy. An image size uses
the set that is nearest in ratio: the published one at those three sizes, and lengths in pixels (radii, widths,
displacements) scaled by size / published size between them. Relative parameters (contrast, noise per pixel, JPEG
quality, zoom factors) are used as they are. So a 128 px network is tested with ImageNet-C's parameters at 128 / 224
of their lengths. Errors under different sets cannot be compared; `parameters` in corruptions.csv names the set.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

SEVERITIES = (1, 2, 3, 4, 5)
# Sources: make_imagenet_c.py, make_tinyimagenet_c.py, make_cifar_c.py of github.com/hendrycks/robustness.
# elastic_transform: alpha, sigma and affine shift as fractions of the side; ImageNet-C has 244 for 224, kept here.
_244 = 244 / 224
PUBLISHED: dict[int, dict[str, list[Any]]] = {
    224: {
        "gaussian_noise": [0.08, 0.12, 0.18, 0.26, 0.38],
        "shot_noise": [60, 25, 12, 5, 3],
        "impulse_noise": [0.03, 0.06, 0.09, 0.17, 0.27],
        "defocus_blur": [(3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)],
        "glass_blur": [(0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)],
        "motion_blur": [(10, 3), (15, 5), (15, 8), (15, 12), (20, 15)],
        "zoom_blur": [(12, 0.01), (16, 0.01), (11, 0.02), (13, 0.02), (11, 0.03)],
        "snow": [(0.1, 0.3, 3, 0.5, 10, 4, 0.8), (0.2, 0.3, 2, 0.5, 12, 4, 0.7), (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
                 (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65), (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55)],
        "frost": [(1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)],
        "fog": [(1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)],
        "brightness": [0.1, 0.2, 0.3, 0.4, 0.5],
        "contrast": [0.4, 0.3, 0.2, 0.1, 0.05],
        "elastic_transform": [(2 * _244, 0.7 * _244, 0.1 * _244), (2 * _244, 0.08 * _244, 0.2 * _244),
                              (0.05 * _244, 0.01 * _244, 0.02 * _244), (0.07 * _244, 0.01 * _244, 0.02 * _244),
                              (0.12 * _244, 0.01 * _244, 0.02 * _244)],
        "pixelate": [0.6, 0.5, 0.4, 0.3, 0.25],
        "jpeg_compression": [25, 18, 15, 10, 7],
    },
    64: {
        "gaussian_noise": [0.04, 0.08, 0.12, 0.15, 0.18],
        "shot_noise": [250, 100, 50, 30, 15],
        "impulse_noise": [0.01, 0.02, 0.05, 0.08, 0.14],
        "defocus_blur": [(0.5, 0.6), (1, 0.1), (1.5, 0.1), (2.5, 0.01), (3, 0.1)],
        "glass_blur": [(0.1, 1, 1), (0.5, 1, 1), (0.6, 1, 2), (0.7, 2, 1), (0.9, 2, 2)],
        "motion_blur": [(10, 1), (10, 1.5), (10, 2), (10, 2.5), (12, 3)],
        "zoom_blur": [(7, 0.01), (12, 0.01), (16, 0.01), (21, 0.01), (26, 0.01)],
        "snow": [(0.1, 0.2, 1, 0.6, 8, 3, 0.8), (0.1, 0.2, 1, 0.5, 10, 4, 0.8), (0.15, 0.3, 1.75, 0.55, 10, 4, 0.7),
                 (0.25, 0.3, 2.25, 0.6, 12, 6, 0.65), (0.3, 0.3, 1.25, 0.65, 14, 12, 0.6)],
        "frost": [(1, 0.3), (0.9, 0.4), (0.8, 0.45), (0.75, 0.5), (0.7, 0.55)],
        "fog": [(0.4, 3), (0.7, 3), (1, 2.5), (1.5, 2), (2, 1.75)],
        "brightness": [0.1, 0.2, 0.3, 0.4, 0.5],
        "contrast": [0.4, 0.3, 0.2, 0.1, 0.05],
        "elastic_transform": [(0, 0, 0.08), (0.05, 0.3, 0.06), (0.1, 0.08, 0.06), (0.1, 0.03, 0.03),
                              (0.16, 0.03, 0.02)],
        "pixelate": [0.9, 0.8, 0.7, 0.6, 0.5],
        "jpeg_compression": [65, 58, 50, 40, 25],
    },
    32: {
        "gaussian_noise": [0.04, 0.06, 0.08, 0.09, 0.10],
        "shot_noise": [500, 250, 100, 75, 50],
        "impulse_noise": [0.01, 0.02, 0.03, 0.05, 0.07],
        "defocus_blur": [(0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)],
        "glass_blur": [(0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)],
        "motion_blur": [(6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)],
        "zoom_blur": [(7, 0.01), (12, 0.01), (16, 0.01), (21, 0.01), (26, 0.01)],
        "snow": [(0.1, 0.2, 1, 0.6, 8, 3, 0.95), (0.1, 0.2, 1, 0.5, 10, 4, 0.9), (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
                 (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85), (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8)],
        "frost": [(1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)],
        "fog": [(0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)],
        "brightness": [0.05, 0.1, 0.15, 0.2, 0.3],
        "contrast": [0.75, 0.5, 0.4, 0.3, 0.15],
        "elastic_transform": [(0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05),
                              (0.1, 0.03, 0.03)],
        "pixelate": [0.95, 0.9, 0.85, 0.75, 0.65],
        "jpeg_compression": [80, 65, 58, 50, 40],
    },
}  # fmt: skip
_NAMES = {224: "imagenet-c", 64: "tiny-imagenet-c", 32: "cifar-10-c"}
# Face-specific corruptions, at every size: fractions of the side unless the function states another unit.
FACES: dict[str, list[Any]] = {
    "side_light": [0.5, 0.7, 0.85, 0.94, 0.98],
    "sunglasses": [(0.07, 0.6), (0.08, 0.8), (0.09, 0.95), (0.1, 1.0), (0.112, 1.0)],
    "mask": [0.30, 0.42, 0.55, 0.68, 0.82],
    "low_resolution": [2, 3, 4, 6, 8],
    "rotation": [8, 15, 25, 35, 45],
    "crop_shift": [0.06, 0.1, 0.15, 0.2, 0.25],
    "crop_scale": [1.12, 1.25, 1.4, 1.6, 1.8],
}


@dataclass(frozen=True)
class Scale:
    """The parameter set of an image size.

    Attributes:
        published: The image size in pixels that the set was published for.
        factor: Image size / published size, the factor for lengths in pixels.
    """

    published: int
    factor: float

    @classmethod
    def of(cls, image_size: int) -> Scale:
        """The set whose size is nearest in ratio."""
        nearest = min(PUBLISHED, key=lambda size: abs(math.log(size / image_size)))
        return cls(nearest, image_size / nearest)

    @property
    def name(self) -> str:
        """The name used in corruptions.csv: ``tiny-imagenet-c``, or ``imagenet-c x 0.57`` between published sizes."""
        return _NAMES[self.published] + ("" if self.factor == 1 else f" x {self.factor:.2f}")

    def parameters(self, corruption: str, severity: int) -> Any:
        """The published parameters, not scaled."""
        assert severity in SEVERITIES
        return PUBLISHED[self.published][corruption][severity - 1]
