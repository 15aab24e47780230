"""What goes over the wire: the JSON of requests and answers, from which the OpenAPI description is made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from gender_lightning.inference.predictor import Prediction


class Model(BaseModel):
    """The model that answered."""

    fingerprint: str = Field(description="SHA-256 of the checkpoint file, or of several files' digests, in hexadecimal")
    backbone: str = Field(description="network")
    classes: list[str] = Field(description="names of the two classes; a probability is that of the second")
    threshold: float = Field(description="probability from which the label is the second class")
    min_confidence: float = Field(description="probability of the label below which it is `uncertain`")
    max_disagreement: float | None = Field(
        description="disagreement above which a label is `uncertain`; null: no limit"
    )
    version: str = Field(description="version of gender_lightning that made the weights")


class Place(BaseModel):
    """A rectangle in the upright picture, in pixels."""

    left: int
    top: int
    width: int
    height: int


class Face(BaseModel):
    """The answer for one face."""

    label: str = Field(description="a class, or `uncertain`")
    probability: float = Field(description="calibrated probability of the second class, 0 to 1")
    disagreement: float | None = Field(
        description="of several checkpoints or views, in nats, 0 to 0.69; null for one checkpoint"
    )
    box: Place | None = Field(description="where the face is")
    status: Literal["face", "crop"] = Field(
        description="face: detected and aligned; crop: the picture was used as it is"
    )
    note: str = Field(description="conversions of the picture, or reasons to doubt the face; usually empty")


class Picture(BaseModel):
    """The answer for one picture."""

    name: str = Field(description="its name in the request, or its position from 0")
    status: Literal["ok", "no_face", "unreadable"] = Field(description="whether there is a face to answer for")
    note: str = Field(description="why it is unreadable; otherwise empty")
    faces: list[Face] = Field(description="its faces, the largest first")


class Reply(BaseModel):
    """The answer to a request."""

    model: Model
    pictures: list[Picture] = Field(description="in the order of the request")


class Health(BaseModel):
    """Whether the service answers."""

    status: Literal["ok", "stopping"]
    model: Model


class Refusal(BaseModel):
    """Why a request was not answered."""

    detail: str = Field(description="what is wrong, and what to do about it")


class SentPicture(BaseModel):
    """A picture in a JSON request."""

    model_config = ConfigDict(extra="forbid")

    data: str = Field(description="the bytes of the file (JPEG, PNG, WebP and others), in Base64")
    name: str = Field(default="", max_length=255, description="its name in the answer")


class Question(BaseModel):
    """A JSON request."""

    model_config = ConfigDict(extra="forbid")

    images: list[SentPicture]


def picture_answer(name: str, predictions: Sequence[Prediction]) -> Picture:
    """The answer for a picture from the predictions of `Predictor.predict_faces`."""
    if not predictions:
        return Picture(name=name, status="no_face", note="", faces=[])
    if predictions[0].status == "unreadable":
        return Picture(name=name, status="unreadable", note=predictions[0].note, faces=[])
    faces = [
        Face(
            label=face.label,
            probability=face.probability,
            disagreement=face.disagreement,
            box=None if face.box is None else Place(**vars(face.box)),
            status="face" if face.status == "face" else "crop",
            note=face.note,
        )
        for face in predictions
    ]
    return Picture(name=name, status="ok", note="", faces=faces)
