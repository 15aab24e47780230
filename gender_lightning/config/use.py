"""The schemas of the commands that use a trained model: predict, population, export, push and demo."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from gender_lightning.config.base import Auto, Count, Fraction, NonNegative, Section, refuse
from gender_lightning.config.card import CardConfig
from gender_lightning.config.data import DataConfig
from gender_lightning.config.faces import FaceModel, FacesField, MinFace, Rotate, idle_face_fields
from gender_lightning.config.root import (
    ACCELERATOR,
    CHECKPOINTS,
    FRAME_STEP,
    INPUT,
    WORKERS,
    Accelerator,
    MaxDisagreement,
    NonEmpty,
    OneOrSeveral,
    Root,
    Split,
    only_one,
)
from gender_lightning.faces_choice import Faces


class RayConfig(Section):
    """The cluster that `engine=ray` uses."""

    address: str | None = Field(description="address of a Ray cluster; null starts one on this machine")
    workers: Auto | Count = Field(
        description="workers, each with its own copy of the model; auto: one per GPU, or one per core"
    )


class PredictConfig(Root):
    """The pictures to predict, by which checkpoint, and where the rows go."""

    checkpoint: OneOrSeveral = Field(description=CHECKPOINTS)
    input: NonEmpty | Annotated[list[str], Field(min_length=1)] = Field(description=INPUT)
    output: NonEmpty = Field(
        description=".csv, .parquet or .jsonl: one row per face, or one row that says why there is none"
    )
    resume: bool = Field(description="continue this output: pictures that have their rows already are skipped")
    annotate: bool = Field(description="write copies with boxes and labels to <output>_annotated/, also of videos")
    faces: FacesField
    face_model: FaceModel
    min_face: MinFace
    min_confidence: Auto | Fraction | None = Field(
        description="probability of the label below which it is `uncertain`; 0: never; auto: the knee of the "
        "risk-coverage curve on valid; null: by target_accuracy"
    )
    target_accuracy: Fraction | None = Field(
        description="share of labels that must be right, guaranteed on the valid split; the others are `uncertain`; "
        "null: 0.99 if valid can guarantee it"
    )
    max_disagreement: MaxDisagreement = None
    rotate: Rotate = False
    frame_step: Count = Field(description=FRAME_STEP)
    batch_size: Auto | Count = Field(description="faces per batch of the network")
    workers: Auto | Annotated[int, Field(ge=0)] = Field(description=WORKERS)
    accelerator: Accelerator = Field(description=ACCELERATOR)
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = Field(
        description="arithmetic of the network; auto: the run's own"
    )
    engine: Literal["local", "ray"] = Field(description="local: this machine; ray: Ray Data on one or more machines")
    ray: RayConfig

    @model_validator(mode="after")
    def _together(self) -> PredictConfig:
        problems = idle_face_fields(self)
        if self.min_confidence is not None and self.target_accuracy is not None:
            problems.append(("min_confidence and target_accuracy exclude each other", "Give one of them."))
        if self.engine == "ray" and self.annotate:
            problems.append(("annotate=true needs engine=local", "Draw the pictures on one machine, or leave it out."))
        refuse(problems)
        return self

    @property
    def inputs(self) -> tuple[str, ...]:
        """The inputs as a tuple, also if there is only one."""
        return (self.input,) if isinstance(self.input, str) else tuple(self.input)


class PopulationConfig(Root):
    """The pictures to count, by which checkpoint, and what to report."""

    checkpoint: OneOrSeveral = Field(description=CHECKPOINTS)
    input: NonEmpty | Annotated[list[str], Field(min_length=1)] = Field(description=INPUT)
    output: str | None = Field(description="counts.csv or counts.json; null: only the table on the terminal")
    by: Literal["none", "folder", "time"] = Field(
        description="one count in all, per folder of the pictures, or per window of a video's time"
    )
    window: Annotated[float, Field(ge=1)] = Field(description="by=time: length of a window, s")
    persons: Literal["none", "folder", "track"] = Field(
        description="folder: each folder holds the pictures of one person; track: faces that overlap from frame to "
        "frame of a video are one person; none: each face counts as one person"
    )
    minimum: Annotated[int, Field(ge=10)] = Field(
        description="a group with fewer faces (or persons, if they are known) is not reported"
    )
    method: Literal["probabilities", "decisions"] = Field(
        description="what is corrected: the mean probability, or the share of decisions at the threshold"
    )
    interval_for: Literal["crowd", "population"] = Field(
        description="crowd: exactly these faces; population: the people of whom they are a sample"
    )
    level: Annotated[float, Field(gt=0.5, lt=1)] = Field(description="confidence level of the interval")
    reference: str | None = Field(
        description="predictions.parquet of labelled faces that resemble the crowd's, from evaluate; null: the run's "
        "valid split"
    )
    draws: Annotated[int, Field(ge=200)] = Field(description="resamples of the bootstrap behind the interval")
    seed: Annotated[int, Field(ge=0)] = Field(description="seed of the bootstrap")
    faces: FacesField
    face_model: FaceModel
    min_face: MinFace
    rotate: Rotate = False
    frame_step: Count = Field(description=FRAME_STEP)
    batch_size: Count = Field(description="faces per batch of the network")
    workers: Auto | Annotated[int, Field(ge=0)] = Field(description=WORKERS)
    accelerator: Accelerator = Field(description=ACCELERATOR)

    @model_validator(mode="after")
    def _together(self) -> PopulationConfig:
        problems = idle_face_fields(self)
        if self.output is not None and not self.output.endswith((".csv", ".json")):
            problems.append((f"output={self.output} names no known format", "Give a name that ends in .csv or .json."))
        refuse(problems)
        return self

    @property
    def inputs(self) -> tuple[str, ...]:
        """The inputs as a tuple, also if there is only one."""
        return (self.input,) if isinstance(self.input, str) else tuple(self.input)


class ExportConfig(Root):
    """The file to write, and the faces on which it is checked."""

    checkpoint: OneOrSeveral = Field(description=CHECKPOINTS)
    output: str | None = Field(
        description="file to write; null: <run directory>/exports/<backbone>.onnx, -int8.onnx, .pt2 or .safetensors"
    )
    format: Literal["onnx", "torch_export", "safetensors"] = Field(
        description="onnx for onnxruntime and others, torch_export for PyTorch's .pt2, safetensors for a checkpoint of "
        "this program that holds no pickle"
    )
    quantize: Literal["none", "int8"] = Field(
        description="int8: 8-bit weights and activations, ONNX only; the loss of accuracy is measured and printed"
    )
    data: DataConfig
    split: Split = Field(description="part of the data on which the file is checked")
    faces: Faces | None = Field(default=None, description="how faces are found in these pictures, as in evaluate")
    face_model: FaceModel = None
    min_face: MinFace = None
    rotate: Rotate = False
    images: Count = Field(description="pictures on which the file must agree with the checkpoint to 1e-4")
    batch_sizes: Annotated[list[Count], Field(min_length=1)] = Field(description="batch sizes of that check")
    calibration_images: Count = Field(description="images of train from which the 8-bit ranges come")
    seconds: NonNegative = Field(description="duration of one measurement of speed, s; 0 leaves it out")

    @model_validator(mode="after")
    def _together(self) -> ExportConfig:
        problems = idle_face_fields(self)
        if self.quantize == "int8" and self.format != "onnx":
            problems.append(("quantize=int8 makes an ONNX file", f"Leave out format={self.format}."))
        refuse(problems)
        return self


class PushConfig(Root):
    """The checkpoint to publish, where, and on whose responsibility."""

    checkpoint: Annotated[
        NonEmpty,
        only_one(
            "a repository on the hub holds one model with its measured card",
            "Push each of them; checkpoint=[hf://user/a,hf://user/b] then uses their mean, and loss=distill trains one "
            "model in their place.",
        ),
    ] = Field(description="run directory that was evaluated, or a checkpoint in it")
    to: NonEmpty | None = Field(description="repository on the Hugging Face hub: hf://user/name; created if need be")
    output: NonEmpty | None = Field(
        description="new folder for the files of the repository, to look at; nothing is uploaded then"
    )
    private: bool = Field(description="whether a new repository is for you alone; a public one is refused then")
    i_may_publish: bool = Field(
        description="you are entitled to publish weights whose data restrict it (CelebA), or whose data are not known"
    )
    evaluation: NonEmpty | None = Field(
        description="evaluation for the card: a name in <run>/evaluation/, such as folder-test; null: the run's own "
        "data, split test"
    )
    card: CardConfig

    @model_validator(mode="after")
    def _together(self) -> PushConfig:
        problems = []
        if self.to is None and self.output is None:
            problems.append(("to=null names no repository", "Add to=hf://user/name, or output=FOLDER to look first."))
        if self.to is not None and not self.to.startswith("hf://"):
            problems.append((f"to={self.to} is not on the Hugging Face hub", "Write to=hf://user/name."))
        refuse(problems)
        return self


class DemoConfig(Root):
    """The checkpoint to show, and where."""

    checkpoint: OneOrSeveral = Field(description=CHECKPOINTS)
    port: Annotated[int, Field(ge=1024, le=65535)] | None = Field(
        description="port of the page; null: the first free one, starting at 7860"
    )
    browser: bool = Field(description="open the page in the browser")
    faces: FacesField
    face_model: FaceModel
    min_face: MinFace
    rotate: Rotate = False
    min_confidence: Auto | Fraction | None = Field(
        description="probability of the label below which it is `uncertain`; auto: the knee of the risk-coverage curve "
        "on valid; null: by target_accuracy"
    )
    target_accuracy: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        description="share of labels that must be right on the run's valid split; the others are `uncertain`; null: as "
        "in predict"
    )
    max_disagreement: MaxDisagreement = None
    max_megabytes: Annotated[int, Field(ge=1, le=1000)] = Field(description="largest file that can be uploaded, MB")
    max_seconds: Annotated[float, Field(gt=0, le=3600)] = Field(
        description="longest time for a batch of pictures, s; one of up to 32 visitors is served at a time"
    )
    device: str = Field(description="device of the network: auto, cpu, cuda or mps")

    @model_validator(mode="after")
    def _together(self) -> DemoConfig:
        problems = idle_face_fields(self)
        if self.min_confidence is not None and self.target_accuracy is not None:
            problems.append(("min_confidence and target_accuracy exclude each other", "Give one of them."))
        refuse(problems)
        return self
