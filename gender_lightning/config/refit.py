"""The schema of `refit`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from gender_lightning.config.base import Fraction, refuse
from gender_lightning.config.data import LABEL, DataConfig
from gender_lightning.config.faces import FaceModel, MinFace, Rotate, idle_face_fields
from gender_lightning.config.root import ACCELERATOR, CHECKPOINT, Accelerator, NonEmpty, Root, only_one
from gender_lightning.faces_choice import Faces


class RefitConfig(Root):
    """The run whose last layer is fitted again, on which faces, and by which method."""

    checkpoint: Annotated[
        NonEmpty,
        only_one(
            "several networks have no last layer in common that could be fitted again",
            "Refit each of them; their refitted runs can then be used as one.",
        ),
    ] = Field(description=CHECKPOINT)
    output: str = Field(min_length=1, description="new run directory, which must not exist yet")
    method: Literal["dfr", "afr", "class_scaling", "thresholds"] = Field(
        description="dfr: new head on group-balanced subsamples; afr: new head that weighs what the old one is unsure "
        "of; class_scaling: factor and constant; thresholds: another threshold"
    )
    groups: Annotated[list[Annotated[str, Field(min_length=1)]], Field(max_length=4)] = Field(
        description="attributes that divide each class into groups, of which the worst is to become better; []: those "
        "that the run was trained with, else both recalls count"
    )
    max_loss: Fraction = Field(
        description="largest fall of accuracy over all images that a better worst group may cost: 0.005 is half a point"
    )
    keep: Literal["auto", "always"] = Field(
        description="auto: the new head if the fitting data show a gain beyond chance, else the old; always: the new"
    )
    faces: Faces | None = Field(default=None, description="how faces are found in the pictures, as in evaluate")
    face_model: FaceModel = None
    min_face: MinFace = None
    rotate: Rotate = False
    resamples: Annotated[int, Field(ge=100)] = Field(
        description="resamples of the bootstrap over persons behind intervals and tests"
    )
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(description="seed of folds, subsamples and bootstrap")
    data: DataConfig
    accelerator: Accelerator = Field(description=ACCELERATOR)

    @model_validator(mode="after")
    def _together(self) -> RefitConfig:
        problems = idle_face_fields(self)
        if LABEL in self.groups:
            problems.append((f"groups: {LABEL} is the label itself", "Leave it out: groups lie within a class."))
        if len(set(self.groups)) < len(self.groups):
            problems.append((f"groups=[{','.join(self.groups)}] names an attribute twice", "Name it once."))
        refuse(problems)
        return self
