"""The schema of `gender-lightning serve`."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated

from pydantic import Field, model_validator

from gender_lightning.config.base import Count, Fraction, Positive, refuse
from gender_lightning.config.faces import FaceModel, FacesField, MinFace, Rotate, idle_face_fields
from gender_lightning.config.root import CHECKPOINTS, MaxDisagreement, NonEmpty, OneOrSeveral, Root


class ServeConfig(Root):
    """The checkpoint that answers, or several whose mean does, where it listens, and what it accepts."""

    checkpoint: OneOrSeveral = Field(description=CHECKPOINTS)
    host: NonEmpty = Field(description="address to listen on; 127.0.0.1: this computer alone, 0.0.0.0: everyone")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(description="port to listen on; 0: any free one")
    token_file: str | None = Field(
        description="file with a token that clients must send (Authorization: Bearer ...); null: the variable "
        "GENDER_LIGHTNING_TOKEN, or none"
    )
    faces: FacesField
    face_model: FaceModel
    min_face: MinFace
    rotate: Rotate = False
    min_confidence: Fraction | None = Field(
        description="probability of the label below which it is `uncertain`; null: by target_accuracy"
    )
    target_accuracy: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        description="share of labels that must be right on the run's valid split; the others are `uncertain`; null: as "
        "in predict"
    )
    max_disagreement: MaxDisagreement = None
    max_batch: Count = Field(description="most pictures that are looked at together")
    max_wait_ms: Annotated[float, Field(ge=0, le=1000)] = Field(
        description="longest time that a picture waits for others to join its batch, ms"
    )
    max_megabytes: Annotated[float, Field(gt=0, le=1000)] = Field(
        description="largest request with all of its pictures, MB"
    )
    max_megapixels: Annotated[float, Field(gt=0, le=120)] = Field(
        description="largest picture, in millions of pixels, by its header; a larger one is not decoded"
    )
    max_images: Count = Field(description="most pictures of one request")
    max_queue: Count = Field(description="most requests in hand; further ones are told to come back later (503)")
    max_rate: Positive | None = Field(
        description="most requests per second of one client address, over more than a second; null: no limit"
    )
    timeout: Annotated[float, Field(gt=0, le=3600)] = Field(
        description="longest time for a request to arrive and to be answered, s"
    )
    device: NonEmpty = Field(description="device of the network: auto, cpu, cuda or mps")

    @model_validator(mode="after")
    def _together(self) -> ServeConfig:
        problems = idle_face_fields(self)
        if self.min_confidence is not None and self.target_accuracy is not None:
            problems.append(("min_confidence and target_accuracy exclude each other", "Give one of them."))
        refuse(problems)
        return self

    @property
    def is_local(self) -> bool:
        """Whether only programs on this computer can reach it."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"
