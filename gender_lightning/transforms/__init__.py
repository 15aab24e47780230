"""Batch augmentation and normalisation on the device, with separate parameters for each image."""

from __future__ import annotations

from gender_lightning.transforms.augment import Augment
from gender_lightning.transforms.mixing import mix
from gender_lightning.transforms.normalize import Normalize
from gender_lightning.transforms.parameters import Parameters, draw_parameters
from gender_lightning.transforms.picture import describe_batch_image
from gender_lightning.transforms.randomness import step_key
from gender_lightning.transforms.settings import (
    AugmentationSettings,
    ColorJitter,
    Downscale,
    GaussianBlur,
    Jpeg,
    ProgressiveStage,
)

__all__ = [
    "Augment",
    "AugmentationSettings",
    "ColorJitter",
    "Downscale",
    "GaussianBlur",
    "Jpeg",
    "Normalize",
    "Parameters",
    "ProgressiveStage",
    "describe_batch_image",
    "draw_parameters",
    "mix",
    "step_key",
]
