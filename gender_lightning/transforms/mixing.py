"""MixUp (Zhang et al. 2017) and CutMix (Yun et al. 2019), each image with its own lambda and partner."""

from __future__ import annotations

import torch
from torch import Tensor

from gender_lightning.transforms.erasing import box_mask
from gender_lightning.transforms.randomness import Stream, step_key, symmetric_beta, uniforms
from gender_lightning.transforms.settings import AugmentationSettings


def partners(order: Tensor) -> Tensor:
    """Each image's partner in the batch: never itself (unless alone), each exactly once.

    Args:
        order: Keyed random numbers, float32 (B,). They arrange the images in a circle, and each takes the next
            one. The numbers are keyed by index, so the choice does not depend on the batch's order.

    Returns:
        A permutation without fixed points, int64 (B,).
    """
    ranking = torch.argsort(order, stable=True)
    return torch.empty_like(ranking).scatter_(0, ranking, ranking.roll(-1))


def cutmix_boxes(lam: Tensor, x: Tensor, y: Tensor, height: int, width: int) -> Tensor:
    """The paper's ``rand_bbox``: sides sqrt(1 - lambda) of the image's, any centre, cut at the edges.

    Args:
        lam: Lambda of each image, float32 (B,) in 0..1.
        x: Uniform random numbers for the centre's x, float32 (B,).
        y: Uniform random numbers for the centre's y, float32 (B,).
        height: Height of the image in pixels.
        width: Width of the image in pixels.

    Returns:
        Boxes, int64 (B, 4): top, left, height, width.
    """
    share = torch.sqrt(1 - lam)

    def span(uniform: Tensor, side: int) -> tuple[Tensor, Tensor]:
        centre, half = (uniform * side).long(), (side * share).long() // 2
        low, high = (centre - half).clamp(0, side), (centre + half).clamp(0, side)
        return low, high - low

    (top, tall), (left, wide) = span(y, height), span(x, width)
    return torch.stack((top, left, tall, wide), 1)


@torch.no_grad()
def mix(
    images: Tensor, targets: Tensor, indices: Tensor, settings: AugmentationSettings, *, seed: int, step: int
) -> tuple[Tensor, Tensor]:
    """Mix each image with another of the batch; with both kinds on, each image takes either with probability 1/2.

    An image's lambda, kind and box are a pure function of (seed, step, index); its partner also depends on which
    images are in the batch (under DDP: in the rank's batch). A batch of one stays as it is.

    Args:
        images: Normalised images, float32 (B, 3, H, W).
        targets: Probabilities of class 1, float32 (B,), or several columns of probabilities, float32 (B, K).
        indices: Each image's row in its split, int64 (B,), on the images' device.
        settings: Settings whose ``mixup`` and ``cutmix`` are the alphas; 0 is off.
        seed: Seed of the run.
        step: Number of the training step.

    Returns:
        Images (in the input's memory format) and soft targets, float32, shaped as they came: lambda times the image's
        own and 1 - lambda times the partner's, where CutMix's lambda is corrected to the area that was really cut.

    Example:
        >>> settings = AugmentationSettings(mixup=0.2)
        >>> images, targets = torch.randn(8, 3, 64, 64), torch.randint(2, (8,))
        >>> mixed, soft_targets = mix(images, targets, torch.arange(8), settings, seed=1, step=0)
    """
    targets = targets.to(torch.float32)
    if not settings.mixes or len(images) < 2:
        return images, targets
    u = uniforms(step_key(seed, step), indices, Stream.MIX_END - Stream.MIX_PARTNER, Stream.MIX_PARTNER)
    weight = _partner_weights(u, settings, *images.shape[-2:])
    partner = partners(u[:, 0])
    mixed = torch.lerp(images, images[partner], weight.to(images.dtype))
    share = weight.mean((1, 2, 3))
    return mixed, torch.lerp(targets, targets[partner], share if targets.ndim == 1 else share[:, None])


def _partner_weights(u: Tensor, settings: AugmentationSettings, height: int, width: int) -> Tensor:
    """The partner's weight in each pixel: float32 (B, 1, H, W), or (B, 1, 1, 1) for MixUp alone."""

    def column(stream: Stream, offset: int = 0) -> Tensor:
        return u[:, stream - Stream.MIX_PARTNER + offset]

    first, second = column(Stream.MIX_LAMBDA), column(Stream.MIX_LAMBDA, 1)
    blend = 1 - symmetric_beta(first, second, settings.mixup)[:, None, None, None] if settings.mixup > 0 else None
    if settings.cutmix <= 0:
        assert blend is not None
        return blend
    lam = symmetric_beta(first, second, settings.cutmix)
    boxes = cutmix_boxes(lam, column(Stream.MIX_X), column(Stream.MIX_Y), height, width)
    cut = box_mask(boxes, height, width).to(torch.float32)
    if blend is None:
        return cut
    return torch.where((column(Stream.MIX_CHOICE) < 0.5)[:, None, None, None], cut, blend)
