"""What the schemas of several commands share: the fields of every command, types, and descriptions."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gender_lightning.config.base import Section

NonEmpty = Annotated[str, Field(min_length=1)]
Split = Literal["train", "valid", "test"]
Accelerator = Literal["auto", "cpu", "gpu", "mps"]
# Descriptions of fields that several commands have.
CHECKPOINT = "run directory, .ckpt or .safetensors file, hf://user/name or wandb://entity/project/artifact:alias"
ACCELERATOR = "device to compute on"
INPUT = (
    "file, folder (with its subfolders), 'glob', list (.txt, .csv), video, camera (or camera:1), or - for names on "
    "standard input; [a.jpg,b.jpg] for several"
)
FRAME_STEP = "use every N-th frame of a video"
WORKERS = "processes that open pictures and find faces; 0: in this process"


class Root(Section):
    """The fields of every command."""

    packages: list[str] = Field(
        default=[],
        description="your own importable packages: their classes by _target_, their networks by timm/<name>",
    )
