"""`conf/evaluate.yaml`: what is evaluated, on what, and how thoroughly."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gender_lightning.config.base import Section
from gender_lightning.config.data import DataConfig


class EvaluateConfig(Section):
    """`conf/evaluate.yaml`. Without `data=` on the command line the data are the run's own."""

    checkpoint: str
    output: str | None
    split: Literal["train", "valid", "test"]
    resamples: Annotated[int, Field(ge=100)] = Field(description="of the bootstrap behind the intervals")
    seed: Annotated[int, Field(ge=0)] = Field(description="of the bootstrap")
    corruptions: Literal["none", "quick", "full"] = Field(description="how thoroughly pictures are disturbed")
    reference: str | None = Field(description="a corruptions.csv, or the directory of one, to compare with")
    images: bool = Field(description="show faces of the data in report.html")
    wandb: bool = Field(description="log to the run's W&B, where it has one")
    data: DataConfig
    accelerator: Literal["auto", "cpu", "gpu", "mps"]
