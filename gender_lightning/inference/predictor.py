"""A predictor from a checkpoint in one line, without Hydra, Lightning or the configuration of the training."""

from __future__ import annotations

import copy
import dataclasses
import math
import os
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from gender_lightning.errors import UserError
from gender_lightning.faces_choice import FacesOrViews
from gender_lightning.inference.abstention import (
    OnValid,
    check_disagreement,
    closing_text,
    is_far_below,
    least_confidence,
    on_valid,
)
from gender_lightning.inference.bunches import bunches
from gender_lightning.inference.checkpoints import CheckpointSet, Given
from gender_lightning.inference.colours import ChannelOrder
from gender_lightning.inference.domain import FEWEST_FACES, Domain, FaceTotals, answers_of
from gender_lightning.inference.faces.crops import Crop, Cropper, FaceSearch
from gender_lightning.inference.faces.face import Box
from gender_lightning.inference.given import OnError, batches, checked_on_error, is_one, open_or_say
from gender_lightning.inference.pictures import Opened, Picture, read_picture
from gender_lightning.machine.hardware import runs_on, start_gpu
from gender_lightning.models.checkpoints.checkpoint import Answer, ModelSpec, Network
from gender_lightning.models.sharing import alone_with, gpu_errors_after_fork

__all__ = ["UNCERTAIN", "Box", "Picture", "Prediction", "Predictor", "load", "read_picture"]

UNCERTAIN = "uncertain"


@dataclass(frozen=True)
class Prediction:
    """The prediction for one face.

    Attributes:
        label: Class name (``female`` or ``male`` unless the checkpoint says otherwise), or ``uncertain`` if the
            confidence is below the least one. Empty if there is no face (see `status`), as in the table that
            ``gender-lightning predict`` writes.
        probability: Probability of the second class (male), in 0..1, calibrated by the checkpoint's temperature; the
            label is the second class if this is at least the checkpoint's threshold. NaN if there is no face.
        box: Place of the face in the upright picture, in pixels; None if there is no face.
        status: ``face``: detected and aligned; ``crop``: the picture was used as it is; ``no_face``: no face was
            found; ``unreadable``: the picture was skipped.
        note: Conversions of the picture, reasons to doubt the face, or why the picture is unreadable; may be empty.
        disagreement: How much several checkpoints disagree on this face, in 0..0.69 nats, see
            `models.ensemble.mutual_information`; None for a single one, and if there is no face.
    """

    label: str
    probability: float
    box: Box | None = None
    status: str = "crop"
    note: str = ""
    disagreement: float | None = None


class Predictor:
    """A network in evaluation mode, with all of its preprocessing.

    Threads may share one: they take turns at the network. On a CPU it may be sent to processes or forked into them,
    as in ``multiprocessing.Pool(2).map(model.predict, files)``; a forked process computes with one thread. Fork while
    no other thread predicts: it may hold a lock of the maths library, which the forked process would wait for. On a
    GPU start processes by ``multiprocessing.get_context("spawn")``: CUDA does not survive a fork, and a forked process
    answers with a `UserError`.
    """

    def __init__(
        self,
        network: Network,
        cropper: Cropper | None = None,
        min_confidence: float = 0.0,
        domain: Domain | None = None,
        on_valid: OnValid | None = None,
        max_disagreement: float | None = None,
    ) -> None:
        """Wrap a network that `load_network` returned, or an `Ensemble`.

        Args:
            network: The network with its specification.
            cropper: Finds the faces; None uses ``faces="auto"``.
            min_confidence: Calibrated probability of the label, in 0..1, below which it is ``uncertain``.
            domain: What the checkpoint remembers of its valid split.
            on_valid: What `min_confidence` does there.
            max_disagreement: Disagreement of an ensemble, in nats, above which the label is ``uncertain``; None for
                no limit.
        """
        self.network = network.eval()
        self.spec: ModelSpec = network.spec
        self.framing = network.spec.framing
        self.cropper = cropper or Cropper.of(network.spec)
        self.min_confidence = min_confidence
        self.max_disagreement = max_disagreement
        self.domain = domain
        self.on_valid = on_valid
        self.seen = FaceTotals()
        self._has_warned = False
        self._channel_order = ChannelOrder()
        self._arriving_at: torch.device | None = None  # the device, after it was sent to a process and before its use

    def __getstate__(self) -> dict[str, Any]:
        """Send the weights through the CPU: a forked process that received a GPU's would die without a message."""
        state = dict(vars(self))
        if self.device.type != "cpu":
            state |= {"network": copy.deepcopy(self.network).cpu(), "_arriving_at": self.device}
        return state

    @property
    def device(self) -> torch.device:
        """The device on which the network runs."""
        return self._arriving_at or next(self.network.parameters()).device

    def predict(self, images: Picture | Iterable[Picture], *, batch_size: int = 64, on_error: OnError = "raise") -> Any:
        """Classify the largest face of each picture.

        Args:
            images: One picture, or several in a list, a generator or anything else that has an order. A picture is a
                path, an encoded picture as bytes or as a binary file, a PIL image, an RGB uint8 array (H, W, 3) or
                an RGB uint8 tensor (3, H, W), of any size. Several may also be one array (N, H, W, 3) or tensor
                (N, 3, H, W). OpenCV reads BGR: give it as ``image[..., ::-1]``.
            batch_size: Number of images that go through the network at once.
            on_error: What to do about a picture that cannot be read: ``raise`` an error, or ``skip`` it; a skipped
                picture gets a prediction with the status ``unreadable`` and the reason as its note.

        Returns:
            A `Prediction` for one picture; for several, a list of one per picture in the same order.

        Raises:
            UserError: A file is missing or does not decode, or an object is of another kind; the message says which.

        Warns:
            UserWarning: Most faces in the arrays have more blue than red, so that the arrays are likely to be BGR; or
                the faces so far, 30 or more, are of another kind than the run's valid split. Each is given once per
                predictor.

        Example:
            >>> model = load("best.ckpt")
            >>> [face.label for face in model.predict(["a.jpg", "b.jpg"], on_error="skip")]
            ['female', 'male']
        """
        firsts = [faces[0] for faces in self._predict(images, batch_size, on_error, every=False)]
        return firsts[0] if is_one(images) else firsts

    def predict_faces(
        self, images: Picture | Iterable[Picture], *, batch_size: int = 64, on_error: OnError = "raise"
    ) -> Any:
        """Classify every face of each picture. Arguments, errors and warnings are those of `predict`.

        Returns:
            For one picture, the list of its `Prediction`s, the largest face first, empty if no face was found; for
            several, a list of such lists. A skipped picture has one prediction with the status ``unreadable``.

        Example:
            >>> model = load("best.ckpt")
            >>> len(model.predict_faces("a.jpg"))
            1
        """
        found = [
            [prediction for prediction in faces if prediction.status != "no_face"]
            for faces in self._predict(images, batch_size, on_error, every=True)
        ]
        return found[0] if is_one(images) else found

    def _predict(
        self, images: Picture | Iterable[Picture], batch_size: int, on_error: OnError, *, every: bool
    ) -> list[list[Prediction]]:
        on_error = checked_on_error(on_error)
        results: list[list[Prediction]] = []
        for batch in batches(images, batch_size):
            places = enumerate(batch, len(results))
            opened = (
                (
                    picture,
                    open_or_say(
                        picture, "" if is_one(images) else f"images[{place}]", on_error, self.cropper.reduction
                    ),
                )
                for place, picture in places
            )
            found: list[tuple[list[Crop], Prediction]] = []
            for bunch in bunches(opened, _pixels):
                crops = iter(self._crops([picture for _, picture in bunch if isinstance(picture, Opened)], every=every))
                for given, picture in bunch:
                    if isinstance(picture, str):
                        found.append(([], Prediction("", math.nan, status="unreadable", note=picture)))
                        continue
                    own = next(crops)
                    found.append((own, Prediction("", math.nan, status="no_face", note="; ".join(picture.notes))))
                    if isinstance(given, np.ndarray | torch.Tensor):
                        self._channel_order.take([crop.pixels for crop in own])
            results += self._predictions(found, batch_size)
            self._channel_order.warn()
        self._warn()
        return results

    @property
    def closing(self) -> str:
        """How many of the faces so far are decided, and whether they are of valid's kind; may be empty."""
        return closing_text(self.seen, self.min_confidence, self.on_valid, self.domain)

    def _warn(self) -> None:
        """Say once that the faces so far are unlike those of valid."""
        if self._has_warned or self.seen.faces < FEWEST_FACES:
            return
        difference = self.domain.compare(self.seen) if self.domain else None
        few = self.min_confidence > 0 and is_far_below(self.seen.decided, self.seen.faces, self.on_valid)
        if few or (difference is not None and difference.alarm):
            self._has_warned = True
            warnings.warn(self.closing, UserWarning, stacklevel=4)

    def _predictions(self, found: list[tuple[list[Crop], Prediction]], batch_size: int) -> list[list[Prediction]]:
        """The predictions for each picture's faces; for a picture without faces, the one that says why."""
        crops = [crop for of_picture, _ in found for crop in of_picture]
        answers: list[Answer] = []
        for first in range(0, len(crops), batch_size):  # a crowd has many faces
            faces = np.stack([crop.pixels for crop in crops[first : first + batch_size]])
            answers += self.answers(faces)
        rest = iter(zip(crops, answers, strict=True))
        return [[self.prediction(*next(rest)) for _ in of_picture] or [instead] for of_picture, instead in found]

    @torch.inference_mode()
    def answers(self, faces: NDArray[np.uint8]) -> list[Answer]:
        """What the network says about framed images, uint8 (B, S, S, 3)."""
        with alone_with(self.network), gpu_errors_after_fork(self.device):
            if self._arriving_at is not None:
                with torch.inference_mode(False):  # heat maps need weights that have gradients
                    self.network.to(self._arriving_at)
                self._arriving_at = None
            images = torch.from_numpy(faces).permute(0, 3, 1, 2).contiguous().to(self.device)
            answers, described = answers_of(self.network, images, self.domain)
        self.seen.take(sum(self._label(answer) != UNCERTAIN for answer in answers), len(answers))
        self.seen.describe(described)
        return answers

    def prediction(self, crop: Crop, answer: Answer) -> Prediction:
        """The prediction for a face about which the network says this."""
        return Prediction(
            self._label(answer), answer.probability, crop.box, crop.status, crop.note, answer.disagreement
        )

    def _label(self, answer: Answer) -> str:
        return label_of(answer, self.spec, self.min_confidence, self.max_disagreement)

    def _crops(self, opened: list[Opened], *, every: bool) -> Iterator[list[Crop]]:
        """The faces of each picture, or the largest one alone, with what was done to the picture as a note."""
        found = self.cropper.crops_of([picture.picture for picture in opened])
        for picture, crops in zip(opened, found, strict=True):
            yield [
                dataclasses.replace(crop, note="; ".join([*picture.notes, *([crop.note] if crop.note else [])]))
                for crop in (crops if every else crops[:1])
            ]


def _pixels(of: tuple[Picture, Opened | str]) -> int:
    _, opened = of
    return 0 if isinstance(opened, str) else opened.pixels.shape[0] * opened.pixels.shape[1]


def label_of(
    answer: Answer, spec: ModelSpec, min_confidence: float = 0.0, max_disagreement: float | None = None
) -> str:
    """The class name; ``uncertain`` if its probability is too low, or the networks disagree too much."""
    male = answer.probability >= spec.threshold
    confidence = answer.probability if male else 1 - answer.probability
    if max_disagreement is not None and answer.disagreement is not None and answer.disagreement > max_disagreement:
        return UNCERTAIN
    return spec.class_names[int(male)] if confidence >= min_confidence else UNCERTAIN


def load(
    path: Given | CheckpointSet,
    device: str = "auto",
    *,
    faces: FacesOrViews = "auto",
    face_model: str | os.PathLike[str] | None = None,
    min_face: int | None = None,
    rotate: bool = False,
    min_confidence: float | Literal["auto"] | None = None,
    target_accuracy: float | None = None,
    max_disagreement: float | None = None,
) -> Predictor:
    """Load a predictor. It works offline.

    Example:
        >>> model = load("best.ckpt")
        >>> model.predict("a.jpg").label
        'female'

    Args:
        path: A checkpoint, or a run directory (its best.ckpt); or a list of several, whose mean is used.
        device: ``auto`` (CUDA if torch has kernels for the GPU, else MPS, else CPU), or torch's name of a device.
        faces: ``auto``, ``detect``, ``tight`` or ``none``: see `inference.faces.crops.Cropper`; ``tta``: as ``auto``,
            averaged over the face in the framing of the training and at two zooms.
        face_model: YuNet's model file, or ``yunet`` to download it, for better detection; None uses MTCNN, which is
            installed.
        min_face: Side in pixels of the smallest face to look for.
        rotate: Whether a picture in which no face is found for sure is also tried on its sides and upside down.
        min_confidence: Calibrated probability of the label below which it is ``uncertain``; 0 for never; ``auto``
            for the knee of the risk-coverage curve of the run's valid split.
        target_accuracy: Choose `min_confidence` so that the given labels are right that often, as guaranteed by the
            run's valid split. If neither is set: 0.99, provided that the checkpoint is in its run directory and its
            valid split supports it.
        max_disagreement: Disagreement of several checkpoints, in nats, above which the label is ``uncertain``.

    Raises:
        UserError: The checkpoint is missing, damaged or not a checkpoint; several cannot be used as one; the device
            does not exist, or is a GPU that torch cannot use; or a target accuracy is requested that cannot be met, or
            whose predictions are missing.
    """
    checkpoints = CheckpointSet.of(path, faces)
    check_disagreement(max_disagreement, checkpoints)
    try:
        network = checkpoints.network(_device(device))
    except RuntimeError as error:
        raise UserError(f"The device {device} cannot be used: {error}.", "Try device=cpu.", field="device") from error
    least = least_confidence(checkpoints, network.spec, min_confidence, target_accuracy)
    search = FaceSearch(faces, None if face_model is None else os.fspath(face_model), min_face, rotate)
    known = on_valid(checkpoints, network.spec, least)
    cropper = search.cropper(network.spec)
    return Predictor(network, cropper, least, checkpoints.domain, known, max_disagreement)


def _device(name: str) -> torch.device:
    if name != "auto":
        return torch.device(name)
    if torch.cuda.device_count():  # as the driver lists them, also where torch cannot use them
        start_gpu(0, cpu="device='cpu'", field="device")
        capability, built_for = torch.cuda.get_device_capability(), torch.cuda.get_arch_list()
        if runs_on(capability, built_for, torch.version.cuda):  # torch itself warns if it has no kernels
            return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
