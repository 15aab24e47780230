"""The common way, our baseline: PIL and torchvision's v1 transforms, image by image, in the loader workers.

This is what most training scripts do, written the way their authors would. It uses none of our code, so that the
baseline does not benefit from what is measured against it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import transforms
from torchvision.transforms import v2

from gender_lightning.transforms.normalize import IMAGENET_MEAN, IMAGENET_STD
from gender_lightning.transforms.settings import AugmentationSettings


def resize_transforms(size: int, crop: str) -> list[Any]:
    """Resize, then take a centre crop where the framing is a square."""
    if crop != "none":  # the lower square costs the same
        return [transforms.Resize(size), transforms.CenterCrop(size)]
    return [transforms.Resize((size, size))]


def augmentation_transforms(settings: AugmentationSettings) -> list[Any]:
    """The configured augmentations as torchvision classes for PIL images, without erasing and mixing."""
    steps: list[Any] = []
    bilinear = transforms.InterpolationMode.BILINEAR
    scaled = tuple(settings.random_scale) != (1.0, 1.0)
    if scaled or settings.random_translation > 0:
        shift = settings.random_translation
        steps.append(
            transforms.RandomAffine(
                settings.random_rotation,
                translate=(shift, shift) if shift > 0 else None,
                scale=settings.random_scale if scaled else None,
                interpolation=bilinear,
            )
        )
    elif settings.random_rotation > 0:
        steps.append(transforms.RandomRotation(settings.random_rotation, interpolation=bilinear))
    if settings.random_horizontal_flip > 0:
        steps.append(transforms.RandomHorizontalFlip(settings.random_horizontal_flip))
    steps += _quality_transforms(settings)
    jitter = settings.color_jitter
    if any((jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue)):
        steps.append(transforms.ColorJitter(jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue))
    return steps


def _quality_transforms(settings: AugmentationSettings) -> list[Any]:
    """Blur, JPEG and grey. Torchvision has no loss of resolution for PIL images, nor a border drawn for each."""
    steps: list[Any] = []
    blur, jpeg = settings.gaussian_blur, settings.jpeg
    if blur.probability > 0:
        kernel = 2 * math.ceil(3 * blur.sigma[1]) + 1
        steps.append(transforms.RandomApply([transforms.GaussianBlur(kernel, blur.sigma)], blur.probability))
    if jpeg.probability > 0:
        steps.append(transforms.RandomApply([v2.JPEG(jpeg.quality)], jpeg.probability))
    if settings.random_grayscale > 0:
        steps.append(transforms.RandomGrayscale(settings.random_grayscale))
    return steps


def tensor_transforms(settings: AugmentationSettings) -> list[Any]:
    """Conversion to a normalised tensor, and random erasing, which torchvision applies to tensors."""
    steps: list[Any] = [transforms.ToTensor(), transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD)]
    if settings.random_erasing > 0:
        steps.append(transforms.RandomErasing(settings.random_erasing))
    return steps


def common_transform(settings: AugmentationSettings, size: int, crop: str) -> Any:
    """The whole preprocessing in the usual order."""
    return transforms.Compose(
        [*resize_transforms(size, crop), *augmentation_transforms(settings), *tensor_transforms(settings)]
    )


class CommonDataset(Dataset[tuple[Tensor, Tensor]]):
    """A dataset of single images, float32 (3, S, S), and labels, float32 ()."""

    def __init__(self, paths: Sequence[str], labels: Sequence[int], transform: Any) -> None:
        self.paths = list(paths)
        self.labels = list(labels)
        self.transform = transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, item: int) -> tuple[Tensor, Tensor]:
        image = Image.open(self.paths[item]).convert("RGB")
        return self.transform(image), torch.tensor(float(self.labels[item]))
