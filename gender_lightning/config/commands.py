"""One root per command: what `conf/<command>.yaml` composes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from gender_lightning.config.base import Auto, Count, Fraction, NonNegative, Positive, Section, matching
from gender_lightning.config.data import DataConfig
from gender_lightning.config.search import SearchConfig
from gender_lightning.config.sections import (
    AugmentationConfig,
    CallbacksConfig,
    LoggerConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    SchedulerConfig,
    TrainerConfig,
)

NonEmpty = Annotated[str, Field(min_length=1)]


class TrainConfig(Section):
    """Everything that decides a run."""

    name: Annotated[str, matching(r"[\w.+-]+", "hold letters, digits and . _ + - only")] = Field(
        description="of the run, its directory and its W&B run"
    )
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    run_dir: str = Field(min_length=1)
    resume: str | None = Field(description="a run directory to go on with")
    test: bool = Field(description="test the best checkpoint once at the end")
    packages: list[str] = Field(description="your own importable packages, whose classes _target_ may name")
    data: DataConfig
    model: ModelConfig
    augmentation: AugmentationConfig
    loss: LossConfig
    optimizer: OptimizerConfig
    scheduler: SchedulerConfig
    trainer: TrainerConfig
    callbacks: CallbacksConfig
    logger: LoggerConfig
    search: SearchConfig | None = None

    @model_validator(mode="after")
    def _together(self) -> TrainConfig:
        # All contradictions at once: pydantic would report the first `raise` only.
        problems = []
        if self.scheduler.name == "plateau" and not self.scheduler.monitor.startswith("val/"):
            problems.append(f"scheduler.monitor={self.scheduler.monitor} must be a val/ metric")
        if self.model.freeze == "backbone" and self.model.layer_decay < 1:
            problems.append("model.layer_decay has no effect with model.freeze=backbone: leave one of them out")
        for stage in self.augmentation.progressive:
            if stage.image_size > self.data.image_size:
                problems.append(
                    f"augmentation.progressive: image_size={stage.image_size} is larger than "
                    f"data.image_size={self.data.image_size}"
                )
        if self.trainer.accelerator == "cpu" and self.trainer.precision == "16-mixed":
            problems.append("trainer.precision=16-mixed needs a GPU: use trainer.precision=bf16-mixed on a CPU")
        if isinstance(self.model.freeze, int) and self.model.freeze >= self.trainer.max_epochs:
            problems.append(
                f"model.freeze={self.model.freeze} keeps the backbone frozen for all of "
                f"trainer.max_epochs={self.trainer.max_epochs}: write model.freeze=backbone to mean that"
            )
        if problems:
            raise ValueError("\n".join(problems))  # one sentence per line: config.validation
        return self


class BenchmarkConfig(Section):
    """`conf/benchmark.yaml`."""

    stages: list[Literal["startup", "decode", "loader", "augmentation", "pipeline", "step", "inference", "train"]] = (
        Field(min_length=1)
    )
    models: list[str]
    common: bool
    repeats: Count
    seconds: Positive
    train_repeats: Count
    train_seconds: Positive
    output: str = Field(min_length=1)
    data: DataConfig
    model: ModelConfig
    augmentation: AugmentationConfig
    optimizer: OptimizerConfig
    trainer: TrainerConfig


class DataCommandConfig(Section):
    """`conf/data.yaml`."""

    data: DataConfig
    download: bool
    output: str


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


def _as_list(value: Any) -> Any:
    """One path may stand without brackets, and a job of a sweep is named by a number."""
    items = value if isinstance(value, list) else [value]
    texts = [str(item) if isinstance(item, int) and not isinstance(item, bool) else item for item in items]
    if not texts:
        raise ValueError("it should name runs: runs=[A,B], the directory of a sweep, or a glob in quotes")
    return texts


class Speed(Section):
    """How inference is measured on this machine."""

    measure: bool = Field(description="false leaves the column out")
    batch_size: Count
    seconds: Positive = Field(description="of one measurement, at least")
    repeats: Count = Field(description="measurements of each network, in turns; their median counts")


class CompareConfig(Section):
    """`conf/compare.yaml`."""

    runs: Annotated[list[Annotated[str, Field(min_length=1)]], BeforeValidator(_as_list)]
    output: str = Field(min_length=1)
    split: Literal["auto", "test", "valid"]
    evaluation: str | None = Field(description="compare on <run>/evaluation/NAME instead of on the run's own data")
    images: Literal["same", "common"]
    accelerator: Literal["auto", "cpu", "gpu", "mps"]
    speed: Speed


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
