"""Random erasing (Zhong et al. 2017) with torchvision's distribution, by a mask over the batch."""

from __future__ import annotations

import math

import torch
from torch import Tensor

AREA = (0.02, 0.33)  # fraction of the image, uniform
RATIO = (0.3, 3.3)  # height / width, log-uniform
TRIES = 10


def draw_boxes(area: Tensor, ratio: Tensor, top: Tensor, left: Tensor, height: int, width: int) -> Tensor:
    """Draw rectangles from the distribution of ``torchvision.transforms.v2.RandomErasing``.

    Its rule of ten tries is kept exactly: the first (area, ratio) whose rounded rectangle is smaller than
    the image in both directions wins; where none of the ten is, nothing is erased. All ten are drawn at
    once, since they are numbers per image, not per pixel.

    Args:
        area: Uniform random numbers for the area, float32 (B, TRIES).
        ratio: Uniform random numbers for the aspect ratio, float32 (B, TRIES).
        top: Uniform random numbers for the vertical position, float32 (B,).
        left: Uniform random numbers for the horizontal position, float32 (B,).
        height: Height of the image in pixels.
        width: Width of the image in pixels.

    Returns:
        Boxes, int64 (B, 4): top, left, height, width in pixels; height = width = 0 where nothing is erased.
    """
    pixels = (AREA[0] + (AREA[1] - AREA[0]) * area) * (height * width)
    low, high = math.log(RATIO[0]), math.log(RATIO[1])
    shape = torch.exp(low + (high - low) * ratio)
    tall, wide = torch.sqrt(pixels * shape).round(), torch.sqrt(pixels / shape).round()
    fits = (tall < height) & (wide < width)
    first = fits.int().argmax(1, keepdim=True)  # 0 when none fits, and then `fits` there is False
    any_fits = fits.gather(1, first)[:, 0]
    h, w = tall.gather(1, first)[:, 0] * any_fits, wide.gather(1, first)[:, 0] * any_fits
    return torch.stack((torch.floor(top * (height - h + 1)), torch.floor(left * (width - w + 1)), h, w), 1).long()


def box_mask(boxes: Tensor, height: int, width: int) -> Tensor:
    """A mask, bool (B, 1, height, width), True inside each box (int64 (B, 4): top, left, height, width)."""
    rows, columns = _sides(boxes, height, width)
    return (rows[:, :, None] & columns[:, None, :])[:, None]


def _sides(boxes: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """The rows, bool (B, height), and the columns, bool (B, width), in which each box lies."""
    top, left, tall, wide = boxes[:, :, None].unbind(1)
    y, x = torch.arange(height, device=boxes.device) - top, torch.arange(width, device=boxes.device) - left
    return (y >= 0) & (y < tall), (x >= 0) & (x < wide)


def erase_(images: Tensor, boxes: Tensor, out: Tensor | None = None) -> Tensor:
    """Set the boxes to 0 in place; where ``out`` is given, a GPU writes there, in its layout.

    A CPU writes only the boxes. On a GPU, where reading them would force a synchronisation, the batch is multiplied
    by the mask of what lies outside.

    Args:
        images: Images, float32 (B, 3, H, W), finite.
        boxes: Boxes, int64 (B, 4): top, left, height, width.
        out: Memory for the result; None: that of the images.
    """
    if images.device.type == "cpu":
        for image, (top, left, tall, wide) in zip(images, boxes.tolist(), strict=True):
            if tall:
                image[:, top : top + tall, left : left + wide] = 0
        return images
    rows, columns = _sides(boxes, *images.shape[-2:])
    outside = ((~rows)[:, :, None] | (~columns)[:, None, :])[:, None]
    return torch.mul(images, outside, out=images if out is None else out)
