"""A predictor from a checkpoint in one line; needs neither Hydra nor Lightning nor the training config."""

from __future__ import annotations

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

from gender_lightning.data.images import Framing, decode, frame
from gender_lightning.errors import UserError
from gender_lightning.models.checkpoint import ModelSpec, Network, load_network

Picture = str | os.PathLike[str] | Image.Image | NDArray[np.uint8] | Tensor


@dataclass(frozen=True)
class Prediction:
    """What the network says of an image.

    Attributes:
        label: Class name, ``female`` or ``male`` unless the checkpoint says otherwise.
        probability: Of the second class (male), in 0..1, calibrated by the checkpoint's temperature; the
            label is the second class from the checkpoint's threshold on.
    """

    label: str
    probability: float


class Predictor:
    """A network in evaluation mode, with all of its preprocessing."""

    def __init__(self, network: Network) -> None:
        """Wrap a network of `load_network`."""
        self.network = network.eval()
        self.spec: ModelSpec = network.spec
        self.framing = Framing(
            image_size=self.spec.image_size,
            crop=self.spec.crop,  # type: ignore[arg-type]
            zoom=self.spec.zoom,
            interpolation=self.spec.interpolation,  # type: ignore[arg-type]
        )

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        return next(self.network.parameters()).device

    def predict(self, images: Picture | Sequence[Picture], *, batch_size: int = 64) -> Any:
        """Classify images of any size.

        Args:
            images: One or a sequence of: paths, PIL images, RGB uint8 arrays (H, W, 3), RGB uint8 tensors
                (3, H, W); or one array (N, H, W, 3) or tensor (N, 3, H, W).
            batch_size: Images that go through the network at once.

        Returns:
            A `Prediction` for one image, a list of them for several.

        Raises:
            UserError: A file that is missing or does not decode (names it); an array of another kind.
        """
        one = _is_one(images)
        pictures: Sequence[Picture] = [images] if one else images  # type: ignore[list-item,assignment]
        predictions = [
            self._prediction(probability)
            for start in range(0, len(pictures), batch_size)
            for probability in self.probabilities(
                np.stack([self._frame(picture) for picture in pictures[start : start + batch_size]])
            )
        ]
        return predictions[0] if one else predictions

    @torch.inference_mode()
    def probabilities(self, faces: NDArray[np.uint8]) -> list[float]:
        """Probabilities of class male of framed images, uint8 (B, S, S, 3)."""
        images = torch.from_numpy(faces).permute(0, 3, 1, 2).contiguous().to(self.device)
        values: list[float] = self.network.probability(images).tolist()
        return values

    def _prediction(self, probability: float) -> Prediction:
        return Prediction(self.spec.class_names[int(probability >= self.spec.threshold)], probability)

    def _frame(self, picture: Picture) -> NDArray[np.uint8]:
        return frame(read_picture(picture), self.framing)


def load(path: str | os.PathLike[str], device: str = "auto") -> Predictor:
    """Load a predictor.

    Args:
        path: A checkpoint, or a run directory (its best.ckpt).
        device: ``auto`` (CUDA, else MPS, else CPU), or torch's name of one.

    Raises:
        UserError: The checkpoint is missing, damaged or none; there is no such device.
    """
    try:
        return Predictor(load_network(Path(path), _device(device)))
    except RuntimeError as error:
        raise UserError(f"The device {device} cannot be used: {error}. Try device=cpu.") from error


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


def read_picture(picture: Picture) -> NDArray[np.uint8]:
    """Any kind of picture that `Predictor.predict` takes, as RGB uint8 (H, W, 3)."""
    if isinstance(picture, str | os.PathLike):
        return decode(_read(Path(picture)), path=str(picture))
    if isinstance(picture, Image.Image):
        return np.asarray(_upright_rgb(picture))
    if isinstance(picture, Tensor):
        if picture.ndim != 3 or picture.shape[0] != 3 or picture.dtype != torch.uint8:
            raise _no_picture(f"a {picture.dtype} tensor of shape {tuple(picture.shape)}")
        return picture.permute(1, 2, 0).contiguous().cpu().numpy()
    if isinstance(picture, np.ndarray):
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
            raise _no_picture(f"an array of {picture.dtype} of shape {picture.shape}")
        return np.ascontiguousarray(picture)
    raise _no_picture(f"a {type(picture).__name__}")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}. Check the path.") from error


def _upright_rgb(image: Image.Image) -> Image.Image:
    from PIL import ImageOps

    return ImageOps.exif_transpose(image).convert("RGB")


def _no_picture(what: str) -> UserError:
    return UserError(
        f"Got {what} where an image was expected. Give a path, a PIL image, an RGB uint8 array (H, W, 3) or "
        "an RGB uint8 tensor (3, H, W)."
    )
