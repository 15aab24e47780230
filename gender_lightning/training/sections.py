"""Conversion of the configuration's sections to the settings of models and transforms."""

from __future__ import annotations

from typing import TypeVar

from gender_lightning.config import AugmentationConfig, ModelConfig
from gender_lightning.data.framing import Framing
from gender_lightning.models.backbones import normalisation
from gender_lightning.models.checkpoints.checkpoint import ModelSpec
from gender_lightning.transforms import (
    AugmentationSettings,
    ColorJitter,
    Downscale,
    GaussianBlur,
    Jpeg,
    ProgressiveStage,
)

_T = TypeVar("_T", int, float)


def make_spec(model: ModelConfig, framing: Framing) -> ModelSpec:
    """The specification that a checkpoint stores for a model of this section."""
    mean, std = normalisation(model.name, model.pretrained)
    return ModelSpec(
        backbone=model.name,
        framing=framing,
        dropout=model.dropout,
        arguments=dict(model.arguments),
        mean=mean,
        std=std,
        test_time_flip=model.test_time_flip,
        test_time_zooms=tuple(model.test_time_zooms),
    )


def augmentation_settings(augmentation: AugmentationConfig) -> AugmentationSettings:
    """Convert the section `augmentation` to the settings of the transforms."""
    values = augmentation.model_dump(exclude={"extra"})
    values["color_jitter"] = ColorJitter(**values["color_jitter"])
    values["gaussian_blur"] = GaussianBlur(
        augmentation.gaussian_blur.probability, _pair(augmentation.gaussian_blur.sigma)
    )
    values["downscale"] = Downscale(**values["downscale"])
    values["jpeg"] = Jpeg(augmentation.jpeg.probability, _pair(augmentation.jpeg.quality))
    for name in ("random_scale", "random_aspect_ratio"):
        values[name] = _pair(values[name])
    values["progressive"] = tuple(ProgressiveStage(**stage) for stage in values["progressive"])
    return AugmentationSettings(**values)


def _pair(values: list[_T]) -> tuple[_T, _T]:
    low, high = values
    return low, high
