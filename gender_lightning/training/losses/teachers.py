"""Trained networks whose answers a student learns; they are no part of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from gender_lightning.data.framing import Framing
from gender_lightning.errors import UserError
from gender_lightning.models.checkpoints.checkpoint import Network, load_network
from gender_lightning.models.checkpoints.files import checkpoint_file
from gender_lightning.transforms import Normalize

log = logging.getLogger(__name__)
_FIELD = "loss.teacher"


class Teachers:
    """Networks in evaluation mode that answer to the student's own augmented batch (Beyer et al. 2022).

    It is no `nn.Module`, so that neither checkpoints nor the optimizer nor DDP see their weights. They draw no random
    numbers, so a resume needs nothing of them but their files.

    Args:
        networks: The teachers; they are frozen, and set to evaluation mode.
    """

    def __init__(self, networks: Sequence[Network]) -> None:
        assert networks
        self.networks = [network.eval().requires_grad_(False) for network in networks]
        self._kept = torch.empty(0)  # answers by row, nan where there is none yet
        self._complete = False

    def to(self, device: torch.device, *, images: int = 0, channels_last: bool = False) -> None:
        """Move the networks to the device of the training, in the memory format of its images.

        Args:
            device: The device.
            images: Number of training images, of which answers may be kept.
            channels_last: Whether the images are in the channels-last format.
        """
        for network in self.networks:
            network.to(device)
            if channels_last:
                network.to(memory_format=torch.channels_last)
        self._kept = torch.full((images,), torch.nan, device=device)

    def start_epoch(self) -> None:
        """Note whether all answers are known: to ask for each batch, the host would have to wait for a GPU."""
        self._complete = len(self._kept) > 0 and not bool(self._kept.isnan().any())

    def __call__(self, images: Tensor, normalize: Normalize, rows: Tensor | None = None) -> Tensor:
        """The mean of the teachers' calibrated logits (logit / temperature), without the average over the mirror image.

        Args:
            images: The student's images, normalised, float32 (B, 3, S, S).
            normalize: The normalisation of these images, which is undone. Each teacher's own takes its place, after an
                antialiased bilinear resize to its own size.
            rows: Each image's row in its split, int64 (B,), modulo the number of images, where a row's image is the
                same in every epoch: then its answer is kept, and not computed again once the whole batch (on a CPU) or
                the whole split is known. None: images change, and every batch is answered anew.

        Returns:
            Logits of class male, float32 (B,), without a gradient.
        """
        if rows is None:
            return self._answers(images, normalize)
        places = rows % len(self._kept)
        if not (self._complete or (rows.device.type == "cpu" and not self._kept[places].isnan().any())):
            self._kept[places] = self._answers(images, normalize)
        return self._kept[places]

    def _answers(self, images: Tensor, normalize: Normalize) -> Tensor:
        with torch.inference_mode():
            with torch.autocast(images.device.type, enabled=False):
                pixels = (images - normalize.shift) / normalize.scale
            logits = [self._logits(network, pixels) for network in self.networks]
            mean = torch.stack(logits).mean(0)
        return mean.clone()  # a tensor of inference mode could not be saved for the backward pass

    @staticmethod
    def _logits(network: Network, pixels: Tensor) -> Tensor:
        size = network.spec.image_size
        with torch.autocast(pixels.device.type, enabled=False):
            if pixels.shape[-1] != size:
                pixels = F.interpolate(pixels, (size, size), mode="bilinear", antialias=True)
            normalised = network.normalize(pixels)
        logits: Tensor = network.net(normalised).float()
        return logits / network.spec.temperature


def load_teachers(paths: Sequence[str], framing: Framing, *, run: Path | None = None) -> Teachers:
    """Read the teachers' checkpoints.

    Args:
        paths: Run directories or checkpoint files.
        framing: How the student's pictures are framed; another framing of a teacher is logged.
        run: The student's own run directory, which cannot be a teacher.

    Raises:
        UserError: A checkpoint is missing, unreadable or the student's own, or its network takes no colour images.
    """
    return Teachers([_load(path, framing, run) for path in paths])


def _load(text: str, framing: Framing, run: Path | None) -> Network:
    path = Path(text).expanduser()
    if run is not None and path.resolve().is_relative_to(run.resolve()):
        raise UserError(
            f"{_FIELD}: {text} is the run that is to be trained.", "Name other, finished runs.", field=_FIELD
        )
    try:
        network = load_network(checkpoint_file(path))
    except UserError as error:
        raise UserError(f"{_FIELD}: {error.problem}", error.remedy, field=_FIELD) from error
    spec = network.spec
    if (spec.framing.crop, spec.framing.zoom) != (framing.crop, framing.zoom):
        log.warning(
            "%s was trained with data.crop=%s data.zoom=%g, but the student is with data.crop=%s data.zoom=%g.",
            text, spec.framing.crop, spec.framing.zoom, framing.crop, framing.zoom,
        )  # fmt: skip
    return network
