"""`conf/predict.yaml`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from gender_lightning.config.base import Auto, Count, Fraction, Section

NonEmpty = Annotated[str, Field(min_length=1)]


class RayConfig(Section):
    """How `engine=ray` spreads the work."""

    address: str | None = Field(description="of a cluster; null starts one on this machine")
    workers: Auto | Count = Field(description="each with its own copy of the model")


class PredictConfig(Section):
    """What is predicted, by which checkpoint, and where the rows go."""

    checkpoint: NonEmpty
    input: NonEmpty | Annotated[list[str], Field(min_length=1)]
    output: NonEmpty
    resume: bool
    annotate: bool
    faces: Literal["auto", "detect", "none"]
    face_model: str | None
    min_face: Annotated[int, Field(ge=12)] | None
    min_confidence: Fraction | None
    target_accuracy: Fraction | None
    frame_step: Count
    batch_size: Auto | Count
    workers: Auto | Annotated[int, Field(ge=0)]
    accelerator: Literal["auto", "cpu", "gpu", "mps"]
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"]
    engine: Literal["local", "ray"]
    ray: RayConfig

    @model_validator(mode="after")
    def _together(self) -> PredictConfig:
        problems = []
        if self.min_confidence is not None and self.target_accuracy is not None:
            problems.append("min_confidence and target_accuracy exclude each other: give one of them")
        if self.faces == "none" and (self.face_model is not None or self.min_face is not None):
            problems.append("face_model and min_face have no effect with faces=none: leave them out")
        if self.engine == "ray" and self.annotate:
            problems.append("annotate=true needs engine=local: draw the pictures on one machine")
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @property
    def inputs(self) -> tuple[str, ...]:
        """What was named, one or several."""
        return (self.input,) if isinstance(self.input, str) else tuple(self.input)
