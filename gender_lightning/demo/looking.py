"""Everything the page shows for a picture: each face, its prediction, and where the network looked."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from gender_lightning.errors import UserError
from gender_lightning.inference.pictures import Picture, open_picture
from gender_lightning.inference.predictor import UNCERTAIN, Prediction, Predictor

Pixels = NDArray[np.uint8]  # RGB (H, W, 3)
MOST_PIXELS = 50_000_000  # per picture, as of a large camera; more would keep the page waiting
MOST_FACES = 24  # per picture, the largest ones
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Look:
    """A face as shown on the page.

    Attributes:
        prediction: Label, probability, and box in the picture.
        crop: The network's input, (S, S, 3).
        heat: The input overlaid with the heat map of the more probable class; None if there is no map.
    """

    prediction: Prediction
    crop: Pixels
    heat: Pixels | None

    @property
    def is_uncertain(self) -> bool:
        """Whether the model abstains from a label."""
        return self.prediction.label == UNCERTAIN


@dataclass(frozen=True)
class PictureResult:
    """The result for one picture: its faces, largest first, and the number of faces left out."""

    picture: Pixels
    looks: tuple[Look, ...]
    left_out: int
    notes: tuple[str, ...]


def look_at(picture: Picture, predictor: Predictor, *, heat: bool = True) -> PictureResult:
    """Open a picture, detect its faces, predict them, and compute their heat maps.

    Threads may share the predictor: a heat map's hooks are on the network only while no other thread uses it.

    Args:
        picture: A file, an image or an array.
        predictor: The predictor to use.
        heat: Whether to compute heat maps, which take as long as a training step.

    Raises:
        UserError: The picture cannot be used; the message says why.
    """
    opened = open_picture(picture, Path(picture).name if isinstance(picture, str) else None)  # Gradio's paths are long
    if opened.pixels.shape[0] * opened.pixels.shape[1] > MOST_PIXELS:
        raise UserError(f"The picture has more than {MOST_PIXELS // 10**6} million pixels.", "Shrink it first.")
    found = predictor.cropper.crops(opened.pixels)
    crops = found[:MOST_FACES]
    if not crops:
        return PictureResult(opened.pixels, (), 0, opened.notes)
    faces = np.stack([crop.pixels for crop in crops])
    answers = predictor.answers(faces)
    maps = _heat(predictor, faces, [answer.probability for answer in answers]) if heat else [None] * len(crops)
    size = predictor.spec.image_size  # several checkpoints have several crops side by side: the first one is shown
    looks = tuple(
        Look(predictor.prediction(crop, answer), crop.pixels[:size, :size], shown)
        for crop, answer, shown in zip(crops, answers, maps, strict=True)
    )
    return PictureResult(opened.pixels, looks, len(found) - len(crops), opened.notes)


def _heat(predictor: Predictor, faces: Pixels, probabilities: list[float]) -> list[Pixels | None]:
    from gender_lightning.diagnostics.saliency import heat_maps

    images = torch.from_numpy(faces).permute(0, 3, 1, 2).contiguous()
    male = torch.tensor([value >= predictor.spec.threshold for value in probabilities])
    try:
        maps = heat_maps(predictor.network, images, male)
    except ValueError as error:  # a network without a feature map: the page shows no heat maps
        _log.info("no heat map: %s", error)
        return [None] * len(faces)
    # An empty map, where no place supports the class by itself, would be a grey picture.
    return [_overlay(face, heat) if heat.any() else None for face, heat in zip(faces, maps, strict=True)]


def _overlay(face: Pixels, heat: NDArray[np.float32]) -> Pixels:
    """Overlay a heat map in inferno colours on a grey face, more opaque where the map is larger."""
    import matplotlib

    colours = np.asarray(matplotlib.colormaps["inferno"](heat))[..., :3] * 255
    grey = np.repeat(face.mean(axis=2, keepdims=True), 3, axis=2)
    share = 0.25 + 0.5 * heat[..., None]
    mixed: Pixels = (share * colours + (1 - share) * grey).round().astype(np.uint8)
    return mixed
