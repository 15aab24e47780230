"""What the schemas of several commands share: the fields of every command, types, and descriptions."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from gender_lightning.config.base import Section, refuse

NonEmpty = Annotated[str, Field(min_length=1)]
OneOrSeveral = NonEmpty | Annotated[list[NonEmpty], Field(min_length=1)]  # a checkpoint, or [A,B,C]
MaxDisagreement = Annotated[
    Annotated[float, Field(ge=0)] | None,
    Field(
        description="disagreement of several checkpoints, in nats (0 to 0.69), above which a label is `uncertain`; "
        "null: no limit"
    ),
]
Split = Literal["train", "valid", "test"]
Accelerator = Literal["auto", "cpu", "gpu", "mps"]
# Descriptions of fields that several commands have.
CHECKPOINT = "run directory, .ckpt or .safetensors file, hf://user/name or wandb://entity/project/artifact:alias"
CHECKPOINTS = f"{CHECKPOINT}; [A,B,C] for the mean of several"
ACCELERATOR = "device to compute on"
INPUT = (
    "file, folder (with its subfolders), 'glob', list (.txt, .csv), video, camera (or camera:1), or - for names on "
    "standard input; [a.jpg,b.jpg] for several"
)
FRAME_STEP = "use every N-th frame of a video"
WORKERS = "processes that open pictures and find faces; 0: in this process"


def only_one(why: str, remedy: str) -> BeforeValidator:
    """A validator that takes a checkpoint, or a list of one, and refuses several with a reason and a remedy."""

    def validate(value: Any) -> Any:
        if not isinstance(value, list) or not value:
            return value
        refuse([(why, remedy)] if len(value) > 1 else [])
        return value[0]

    return BeforeValidator(validate)


class Root(Section):
    """The fields of every command."""

    packages: list[str] = Field(
        default=[],
        description="your own importable packages: their classes by _target_, their networks by timm/<name>",
    )
