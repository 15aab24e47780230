"""`conf/export.yaml`: a checkpoint as one file for other runtimes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from gender_lightning.config.base import Count, NonNegative, Section
from gender_lightning.config.data import DataConfig


class ExportConfig(Section):
    """What to write, and on which faces it is checked."""

    checkpoint: str
    output: str | None = Field(description="the file to write")
    format: Literal["onnx", "torch_export"]
    quantize: Literal["none", "int8"]
    data: DataConfig
    split: Literal["train", "valid", "test"]
    images: Count = Field(description="real pictures on which the file must agree with the checkpoint")
    batch_sizes: Annotated[list[Count], Field(min_length=1)]
    calibration_images: Count = Field(description="of train, from which the 8-bit ranges come")
    seconds: NonNegative = Field(description="of one measurement of speed; 0 leaves it out")

    @model_validator(mode="after")
    def _quantized_is_onnx(self) -> ExportConfig:
        if self.quantize == "int8" and self.format != "onnx":
            raise ValueError("quantize=int8 makes an ONNX file: leave out format=torch_export")
        return self
