"""`conf/demo.yaml`: a page on this computer."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from gender_lightning.config.base import Fraction, Section


class DemoConfig(Section):
    """Which checkpoint is shown, and where."""

    checkpoint: str = Field(min_length=1)
    port: Annotated[int, Field(ge=1024, le=65535)] | None
    browser: bool = Field(description="open the page in the browser")
    faces: Literal["auto", "detect", "none"]
    face_model: str | None
    min_face: Annotated[int, Field(ge=12)] | None
    min_confidence: Fraction | None
    target_accuracy: Annotated[float, Field(gt=0, lt=1)] | None
    max_megabytes: Annotated[int, Field(ge=1, le=1000)] = Field(description="of an uploaded file")
    max_seconds: Annotated[float, Field(gt=0, le=3600)] = Field(description="for a batch of pictures")
    device: str

    @model_validator(mode="after")
    def _one_confidence(self) -> DemoConfig:
        if self.min_confidence is not None and self.target_accuracy is not None:
            raise ValueError("min_confidence and target_accuracy exclude each other: give one of them")
        return self
