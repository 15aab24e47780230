"""One pass over the batch, on its device: warp, loss of quality, colour matrix, hue, normalisation, erasing."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gender_lightning.errors import UserError
from gender_lightning.transforms import color, erasing, geometry
from gender_lightning.transforms.normalize import IMAGENET_MEAN, IMAGENET_STD, Normalize
from gender_lightning.transforms.parameters import Parameters, draw_parameters
from gender_lightning.transforms.quality import Quality
from gender_lightning.transforms.randomness import step_key
from gender_lightning.transforms.settings import AugmentationSettings, Fill

# One core processes the batch in pieces of this many pixels, so that a piece's float32 channels and temporaries
# stay in the cache (8 images of 112 px, 2 of 224 px): a third faster. Several cores, or a GPU, take it whole:
# kernels on pieces are too short to share, and two cores would be no faster than one.
_PIXELS_PER_PIECE = 8 * 112 * 112


def augment(
    images: Tensor, parameters: Parameters, fill: Fill = "reflection", quality: Quality | None = None
) -> Tensor:
    """Apply everything up to normalisation and erasing.

    Args:
        images: Images, uint8 or float32 (B, 3, H, W) in 0..255; not altered.
        parameters: Parameters of the same B images, on the same device; what is None costs nothing.
        fill: What a warp shows beyond the edge.
        quality: Blurs, shrinks and compresses by these parameters; needed if they do any of it.

    Returns:
        The augmented images, float32 (B, 3, H, W) in 0..255 (levels are not rounded).
    """
    p = parameters
    levels = images.to(torch.float32)
    if not p.warps:
        levels = levels if p.flipped is None else geometry.flip(levels, p.flipped)
    else:
        count = (len(levels),)
        levels = geometry.warp(
            levels,
            levels.new_zeros(count) if p.rotation is None else p.rotation,
            levels.new_ones(count) if p.scale is None else p.scale,
            levels.new_zeros((*count, 2)) if p.translation is None else p.translation,
            levels.new_zeros(count, dtype=torch.bool) if p.flipped is None else p.flipped,
            fill,
            aspect=p.aspect,
            border=p.border,
        )
    if quality is not None:
        levels = quality(levels, p)
    if not (p.brightness is None and p.contrast is None and p.saturation is None):
        levels = color.jitter(levels, p.brightness, p.contrast, p.saturation)
    return levels if p.hue is None else color.shift_hue(levels, p.hue)


class Augment(nn.Module):
    """Augments and normalises training batches; has no weights and no state.

    Example:
        >>> augment = Augment(AugmentationSettings(random_rotation=10, random_horizontal_flip=0.5), seed=1)
        >>> images = torch.randint(256, (8, 3, 112, 112), dtype=torch.uint8)
        >>> augment(images, torch.arange(8), step=0).shape
        torch.Size([8, 3, 112, 112])
    """

    def __init__(
        self,
        settings: AugmentationSettings,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        *,
        seed: int = 1,
        channels_last: bool = False,
        extra: Sequence[nn.Module] = (),
    ) -> None:
        """Store the settings and the seed.

        Args:
            settings: The augmentations and their strengths.
            mean: Mean of each channel, for pixels in 0..1.
            std: Standard deviation of each channel.
            seed: Seed of the run.
            channels_last: Whether the result is in the channels-last memory format.
            extra: Further transforms, each from float32 (B, 3, S, S) in 0..1 to the same shape, applied to the
                whole batch before the normalisation. They draw from torch's own generator, which the training
                seeds at each step.
        """
        super().__init__()
        self.settings = settings
        self.seed = seed
        self.channels_last = channels_last
        self.normalize = Normalize(mean, std)
        self.quality = Quality()
        self.extra = nn.ModuleList(extra)

    @property
    def changes_nothing(self) -> bool:
        """Whether a picture is the same in every epoch."""
        return self.settings.changes_nothing and not len(self.extra)

    @torch.no_grad()
    def forward(self, images: Tensor, indices: Tensor, step: int, *, size: int | None = None) -> Tensor:
        """Augment a batch; a pure function of (seed, step, index) for each image.

        Args:
            images: Images, uint8 (B, 3, S, S); not altered.
            indices: Each image's row in its split, int64 (B,), on the images' device.
            step: Number of the training step (any counter that no two steps share and that a resume keeps).
            size: Side S' of the result if it is smaller than S (progressive resizing; antialiased, before the warp);
                None keeps S. See `AugmentationSettings.size_at`.

        Returns:
            The normalised images, float32 (B, 3, S', S'), channels-last if so configured.
        """
        key = torch.full((), step_key(self.seed, step), dtype=torch.int64, device=images.device)
        with torch.autocast(images.device.type, enabled=False):  # half precision is meant for weights, not for pixels
            return self._batch(images, indices, key, size)

    def compile_batches(self) -> None:
        """Fuse the kernels of a batch on a GPU, unless the user has added transforms.

        There is one graph per batch shape and size; the step is a tensor, so that a new epoch needs no new graph.
        """
        if self.normalize.scale.device.type == "cuda" and not len(self.extra):
            self._batch = torch.compile(self._augmented, dynamic=False)  # type: ignore[method-assign]

    def _batch(self, images: Tensor, indices: Tensor, key: Tensor, size: int | None) -> Tensor:
        return self._augmented(images, indices, key, size)

    def _augmented(self, images: Tensor, indices: Tensor, key: Tensor, size: int | None) -> Tensor:
        height, width = (size, size) if size is not None else images.shape[-2:]
        parameters = draw_parameters(self.settings, indices, key, height, width)
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        if images.device.type != "cpu" or torch.get_num_threads() > 1 or len(self.extra) > 0:
            return self._piece(images, parameters, size, layout)
        shape = (len(images), 3, height, width)
        result = torch.empty(shape, dtype=torch.float32, device=images.device, memory_format=layout)
        piece = max(1, _PIXELS_PER_PIECE // (height * width))
        for start in range(0, len(images), piece):
            rows = slice(start, start + piece)
            result[rows] = self._piece(images[rows], parameters[rows], size)
        return result

    def _piece(
        self, images: Tensor, parameters: Parameters, size: int | None, layout: torch.memory_format | None = None
    ) -> Tensor:
        small = images if size is None else geometry.shrink(images, size)
        levels = self._further(augment(small, parameters, self.settings.fill, self.quality))
        # in place: `augment` has made a new tensor of the uint8 images; a GPU's last kernel writes the layout too
        direct = layout is not None and levels.device.type != "cpu" and not torch.compiler.is_compiling()
        out = torch.empty_like(levels, memory_format=layout) if direct else None
        erases = parameters.erased is not None
        result = self.normalize.levels_(levels, None if erases else out)
        if parameters.erased is not None:
            result = erasing.erase_(result, parameters.erased, out)
        return result if layout is None else result.contiguous(memory_format=layout)

    def _further(self, levels: Tensor) -> Tensor:
        for transform in self.extra:
            changed = transform(levels / 255)
            if not isinstance(changed, Tensor) or changed.shape != levels.shape:
                raise UserError(
                    f"augmentation.extra: {type(transform).__name__} does not return images of the size of its input.",
                    "Choose a transform that changes pixel values only.",
                    field="augmentation.extra",
                )
            levels = changed * 255
        return levels
