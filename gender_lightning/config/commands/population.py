"""`conf/population.yaml`: counts of a crowd, without a row per person."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from gender_lightning.config.base import Auto, Count, Section

NonEmpty = Annotated[str, Field(min_length=1)]


class PopulationConfig(Section):
    """What is counted, by which checkpoint, and what is told of it."""

    checkpoint: NonEmpty
    input: NonEmpty | Annotated[list[str], Field(min_length=1)]
    output: str | None
    by: Literal["none", "folder", "time"]
    window: Annotated[float, Field(ge=1)] = Field(description="seconds of a video that are counted together")
    minimum: Annotated[int, Field(ge=10)] = Field(description="faces below which a group is not reported")
    method: Literal["probabilities", "decisions"]
    interval_for: Literal["crowd", "population"]
    level: Annotated[float, Field(gt=0.5, lt=1)]
    reference: str | None = Field(description="a predictions table of labelled faces; null: the run's valid split")
    draws: Annotated[int, Field(ge=200)]
    seed: Annotated[int, Field(ge=0)]
    faces: Literal["auto", "detect", "none"]
    face_model: str | None
    min_face: Annotated[int, Field(ge=12)] | None
    frame_step: Count
    batch_size: Count
    workers: Auto | Annotated[int, Field(ge=0)]
    accelerator: Literal["auto", "cpu", "gpu", "mps"]

    @model_validator(mode="after")
    def _together(self) -> PopulationConfig:
        problems = []
        if self.faces == "none" and (self.face_model is not None or self.min_face is not None):
            problems.append("face_model and min_face have no effect with faces=none: leave them out")
        if self.output is not None and not self.output.endswith((".csv", ".json")):
            problems.append(f"output={self.output}: give a name that ends in .csv or .json")
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @property
    def inputs(self) -> tuple[str, ...]:
        """What was named, one or several."""
        return (self.input,) if isinstance(self.input, str) else tuple(self.input)
