"""A predictor from a checkpoint in one line; needs neither Hydra nor Lightning nor the training config."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from gender_lightning.data.images import Framing
from gender_lightning.errors import UserError
from gender_lightning.inference.abstention import least_confidence
from gender_lightning.inference.faces.crops import Crop, Cropper, Faces, load_detector
from gender_lightning.inference.faces.face import Box
from gender_lightning.inference.pictures import Picture, open_picture, read_picture
from gender_lightning.models.checkpoint import ModelSpec, Network, load_network
from gender_lightning.models.sharing import alone_with

__all__ = ["UNCERTAIN", "Box", "Picture", "Prediction", "Predictor", "framing_of", "load", "read_picture"]

UNCERTAIN = "uncertain"


@dataclass(frozen=True)
class Prediction:
    """What the network says of a face.

    Attributes:
        label: Class name (``female`` or ``male`` unless the checkpoint says otherwise), or ``uncertain``: the
            confidence is below the least one, or no face was found.
        probability: Of the second class (male), in 0..1, calibrated by the checkpoint's temperature; the label is
            the second class from the checkpoint's threshold on. NaN where no face was found.
        box: Of the face in the upright picture, in pixels; None where no face was found.
        status: ``face``: detected and aligned; ``crop``: the picture was used as it is; ``no_face``.
        note: What was done to the picture, and what makes the face doubtful; may be empty.
    """

    label: str
    probability: float
    box: Box | None = None
    status: str = "crop"
    note: str = ""


class Predictor:
    """A network in evaluation mode, with all of its preprocessing."""

    def __init__(self, network: Network, cropper: Cropper | None = None, min_confidence: float = 0.0) -> None:
        """Wrap a network of `load_network`.

        Args:
            network: With its spec.
            cropper: Finds the faces; None: by ``faces="auto"``.
            min_confidence: Calibrated probability of the label, in 0..1, below which it is ``uncertain``.
        """
        self.network = network.eval()
        self.spec: ModelSpec = network.spec
        self.framing = framing_of(network.spec)
        self.cropper = cropper or Cropper(self.framing)
        self.min_confidence = min_confidence

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        return next(self.network.parameters()).device

    def predict(self, images: Picture | Sequence[Picture], *, batch_size: int = 64) -> Any:
        """Classify the largest face of each picture.

        Args:
            images: One or a sequence of: paths, PIL images, RGB uint8 arrays (H, W, 3), RGB uint8 tensors
                (3, H, W); or one array (N, H, W, 3) or tensor (N, 3, H, W). Of any size.
            batch_size: Images that go through the network at once.

        Returns:
            A `Prediction` for one image, a list of them for several.

        Raises:
            UserError: A file that is missing or does not decode (names it); an array of another kind.
        """
        firsts = [faces[0] for faces in self._predict(images, batch_size, every=False)]
        return firsts[0] if _is_one(images) else firsts

    def predict_faces(self, images: Picture | Sequence[Picture], *, batch_size: int = 64) -> Any:
        """Classify every face of each picture; arguments and errors as of `predict`.

        Returns:
            For one image the list of its `Prediction`s, the largest face first, empty where no face was found; for
            several a list of such lists.
        """
        found = [
            [prediction for prediction in faces if prediction.box is not None]
            for faces in self._predict(images, batch_size, every=True)
        ]
        return found[0] if _is_one(images) else found

    def _predict(self, images: Picture | Sequence[Picture], batch_size: int, *, every: bool) -> list[list[Prediction]]:
        pictures: Sequence[Picture] = [images] if _is_one(images) else images  # type: ignore[list-item,assignment]
        results: list[list[Prediction]] = []
        for start in range(0, len(pictures), batch_size):
            found = [self._crops(picture, every=every) for picture in pictures[start : start + batch_size]]
            crops = [crop for of_picture in found for crop in of_picture]
            pixels = [crop.pixels for crop in crops]
            probabilities: list[float] = []
            for first in range(0, len(pixels), batch_size):  # a crowd has many faces
                probabilities += self.probabilities(np.stack(pixels[first : first + batch_size]))
            rest = iter(zip(crops, probabilities, strict=True))
            for of_picture in found:
                predictions = [self.judge(*next(rest)) for _ in of_picture]
                results.append(predictions or [Prediction(UNCERTAIN, math.nan, status="no_face")])
        return results

    @torch.inference_mode()
    def probabilities(self, faces: NDArray[np.uint8]) -> list[float]:
        """Probabilities of class male of framed images, uint8 (B, S, S, 3)."""
        with alone_with(self.network):
            images = torch.from_numpy(faces).permute(0, 3, 1, 2).contiguous().to(self.device)
            values: list[float] = self.network.probability(images).tolist()
        return values

    def judge(self, crop: Crop, probability: float) -> Prediction:
        """The prediction of a face, from what the network says of it."""
        return Prediction(self.label(probability), probability, crop.box, crop.status, crop.note)

    def label(self, probability: float) -> str:
        """Class name, or ``uncertain``."""
        return label_of(probability, self.spec, self.min_confidence)

    def _crops(self, picture: Picture, *, every: bool) -> list[Crop]:
        opened = open_picture(picture)
        crops = self.cropper.crops(opened.pixels)
        return [
            dataclasses.replace(crop, note="; ".join([*opened.notes, *([crop.note] if crop.note else [])]))
            for crop in (crops if every else crops[:1])
        ]


def label_of(probability: float, spec: ModelSpec, min_confidence: float) -> str:
    """Class name, or ``uncertain`` where the calibrated probability of the label is below the least confidence."""
    male = probability >= spec.threshold
    confidence = probability if male else 1 - probability
    return spec.class_names[int(male)] if confidence >= min_confidence else UNCERTAIN


def framing_of(spec: ModelSpec) -> Framing:
    """How the network's pictures are cropped and resized."""
    return Framing(
        image_size=spec.image_size,
        crop=spec.crop,  # type: ignore[arg-type]
        zoom=spec.zoom,
        interpolation=spec.interpolation,  # type: ignore[arg-type]
    )


def load(
    path: str | os.PathLike[str],
    device: str = "auto",
    *,
    faces: Faces = "auto",
    face_model: str | os.PathLike[str] | None = None,
    min_face: int | None = None,
    min_confidence: float | None = None,
    target_accuracy: float | None = None,
) -> Predictor:
    """Load a predictor. It works offline.

    Args:
        path: A checkpoint, or a run directory (its best.ckpt).
        device: ``auto`` (CUDA, else MPS, else CPU), or torch's name of one.
        faces: ``auto``, ``detect`` or ``none``: see `inference.faces.crops.Cropper`.
        face_model: YuNet's model file, or `yunet` to fetch it, for better detection; None: MTCNN, which is installed.
        min_face: Side in pixels of the smallest face that is looked for.
        min_confidence: Calibrated probability of the label below which it is ``uncertain``; 0: never.
        target_accuracy: Choose `min_confidence` so that the labels given are right that often, as the run's valid
            split guarantees. Without either: 0.99, where the checkpoint lies in its run and valid allows it.

    Raises:
        UserError: The checkpoint is missing, damaged or none; there is no such device; a target accuracy without
            the run's predictions, or one that is not reached.
    """
    try:
        network = load_network(Path(path), _device(device))
    except RuntimeError as error:
        raise UserError(f"The device {device} cannot be used: {error}. Try device=cpu.") from error
    least = least_confidence(Path(path), network.spec, min_confidence, target_accuracy)
    detector = None
    if face_model is not None or min_face is not None:
        detector = load_detector(face_model, min_face)
    return Predictor(network, Cropper(framing_of(network.spec), faces, detector), least)


def _device(name: str) -> torch.device:
    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _is_one(images: Any) -> bool:
    if isinstance(images, np.ndarray | Tensor):
        return images.ndim != 4
    return isinstance(images, str | os.PathLike | Image.Image)
