"""The schemas of what `conf/<command>.yaml` composes: training, its data, and the judgement of runs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from gender_lightning.config.augmentation import AugmentationConfig
from gender_lightning.config.base import Auto, Count, Positive, Section, matching, refuse
from gender_lightning.config.card import CardConfig
from gender_lightning.config.data import DataConfig
from gender_lightning.config.faces import FaceModel, MinFace, Rotate, idle_face_fields
from gender_lightning.config.group_fields import group_problems
from gender_lightning.config.root import (
    ACCELERATOR,
    CHECKPOINTS,
    Accelerator,
    NonEmpty,
    OneOrSeveral,
    Root,
    Split,
)
from gender_lightning.config.search import SearchConfig
from gender_lightning.config.sections import (
    CallbacksConfig,
    LoggerConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    SchedulerConfig,
    TrainerConfig,
)
from gender_lightning.faces_choice import FacesInTraining, FacesOrViews


class TrainConfig(Root):
    """The complete settings of a run."""

    name: Annotated[str, matching(r"[\w.+-]+", "hold letters, digits and . _ + - only")] = Field(
        description="name of the run, of its folder below runs/ and of its W&B run"
    )
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(
        description="seed of the weights, of the order of the images, of augmentation and of dropout"
    )
    run_dir: str = Field(min_length=1, description="run directory, which must not exist yet")
    resume: str | None = Field(description="run directory to continue, with its own configuration; null: a new run")
    test: bool = Field(description="test the best checkpoint once at the end")
    faces: FacesInTraining = Field(
        default="none",
        description="none: use pictures as they are; detect: find faces and align them like CelebA's; auto: if needed",
    )
    face_model: FaceModel = None
    min_face: MinFace = None
    rotate: Rotate = False
    threshold: Literal["auto", "half", "balanced", "worst_group"] = Field(
        default="auto",
        description="rule for the threshold of predict, chosen on valid; auto: 0.5 unless balanced gains beyond chance",
    )
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
        problems = idle_face_fields(self)
        if self.scheduler.name == "plateau" and not self.scheduler.monitor.startswith("val/"):
            problem = f"scheduler.monitor={self.scheduler.monitor} is not a metric of the valid split"
            problems.append((problem, "Give one, such as val/loss."))
        if self.model.freeze == "backbone" and self.model.layer_decay < 1:
            problem = "model.layer_decay has no effect with model.freeze=backbone"
            problems.append((problem, "Leave one of them out."))
        for stage in self.augmentation.progressive:
            if stage.image_size > self.data.image_size:
                problem = f"augmentation.progressive: image_size={stage.image_size} is larger than data.image_size"
                problems.append((problem, f"Give {self.data.image_size} or less."))
        if self.trainer.accelerator == "cpu" and self.trainer.precision == "16-mixed":
            problem = "trainer.precision=16-mixed needs a GPU"
            problems.append((problem, "Use trainer.precision=bf16-mixed on a CPU."))
        if isinstance(self.model.freeze, int) and self.model.freeze >= self.trainer.max_epochs:
            problem = (
                f"model.freeze={self.model.freeze} keeps the backbone frozen for all of "
                f"trainer.max_epochs={self.trainer.max_epochs}"
            )
            problems.append((problem, "If you want that, write model.freeze=backbone."))
        problems += group_problems(self)
        refuse(problems)
        return self

    @property
    def has_groups(self) -> bool:
        """Whether groups are looked at; group DRO takes the classes for groups where `data.groups` names none."""
        return bool(self.data.groups) or self.loss.name == "group_dro"


class BenchmarkConfig(Root):
    """The stages to measure, and how often. Each stage runs beside the common way of doing the same work."""

    stages: list[
        Literal["startup", "decode", "loader", "augmentation", "pipeline", "faces", "step", "inference", "train"]
    ] = Field(
        min_length=1,
        description="parts of a training to measure; faces: how predict opens pictures, finds and aligns their faces",
    )
    models: list[str] = Field(description="several backbones of conf/model/, one after another; []: that of model=")
    common: bool = Field(description="measure the common way as well")
    repeats: Count = Field(description="measurements of each stage, whose median counts")
    seconds: Positive = Field(description="shortest duration of one measurement, s")
    train_repeats: Count = Field(description="real trainings of two epochs each")
    train_seconds: Positive = Field(description="approximate duration of an epoch of a real training, s")
    output: str = Field(min_length=1, description="new folder for benchmark.json and benchmark.png")
    data: DataConfig
    model: ModelConfig
    augmentation: AugmentationConfig
    loss: LossConfig
    optimizer: OptimizerConfig
    trainer: TrainerConfig


def _as_checkpoints(value: Any) -> Any:
    """One path may stand without brackets."""
    return [value] if isinstance(value, str) else value


class DataCommandConfig(Root):
    """The data, and what to do with them."""

    data: DataConfig
    download: bool = Field(description="prepare: fetch what is missing, the way torchvision does")
    output: str = Field(
        description="summary: folder of the contact sheet; audit: folder of audit.html, audit.json and what it keeps"
    )
    checkpoint: Annotated[list[NonEmpty] | None, BeforeValidator(_as_checkpoints)] = Field(
        default=None,
        description="audit: run or [A,B,C], whose mean judges the labels of the splits that they have not learned from",
    )
    folds: Annotated[int, Field(ge=2, le=50)] | None = Field(
        default=None,
        description="audit: small models to train, each on all persons but those whose labels it judges",
    )
    recipe: list[str] = Field(
        default=[],
        description="audit: what `train` is told for the models of folds=, as [model=resnet18,trainer.max_epochs=3]",
    )
    detect: bool = Field(default=False, description="audit: count the faces in every picture")
    smallest_cell: Count = Field(
        default=100, description="audit: cells of label and attribute with fewer images in train are listed"
    )
    fail_on: dict[str, Annotated[int | float, Field(ge=0)]] | None = Field(
        default=None,
        description="audit: exit code 1 where a finding is above its limit, as {contradictions:0.01,unreadable:0}: a "
        "share, or a count",
    )
    images: bool = Field(
        default=True, description="audit: show pictures of the data in audit.html; false gives a page to pass on"
    )
    audit: NonEmpty | None = Field(default=None, description="review: folder that an audit has written")
    sample: Annotated[int, Field(ge=0)] = Field(
        default=200, description="review: images that nothing is suspected of, mixed in to estimate the error rate"
    )
    accelerator: Accelerator = Field(default="auto", description=f"audit: {ACCELERATOR}")
    port: Annotated[int, Field(ge=1024, le=65535)] | None = Field(
        default=None, description="review: port of the page; null: the first free one from 7860 on"
    )
    browser: bool = Field(default=True, description="review: open the page in the browser")

    @model_validator(mode="after")
    def _one_judge(self) -> DataCommandConfig:
        if self.checkpoint is not None and self.folds is not None:
            refuse([("checkpoint and folds exclude each other", "Give one of them.")])
        return self


class WandbSweepConfig(TrainConfig):
    """The search to hand to W&B, as for `train -m`, and the file to write."""

    output: NonEmpty = Field(description="YAML file to write, for `wandb sweep`")


class EvaluateConfig(Root):
    """The checkpoint to evaluate, on which faces, and how thoroughly."""

    checkpoint: OneOrSeveral = Field(description=CHECKPOINTS)
    output: str | None = Field(
        description="folder of the results; null: <run directory>/evaluation/<data>-<split>",
    )
    split: Split = Field(description="part of the data to evaluate")
    faces: FacesOrViews | None = Field(
        default=None,
        description="as in predict; null: as trained for the run's own data, auto for other folders, else none",
    )
    face_model: FaceModel = None
    min_face: MinFace = None
    rotate: Rotate = False
    resamples: Annotated[int, Field(ge=100)] = Field(
        description="resamples of the bootstrap over persons behind every interval"
    )
    seed: Annotated[int, Field(ge=0)] = Field(description="seed of the bootstrap")
    corruptions: Literal["none", "quick", "full"] = Field(
        description="synthetic disturbances; quick: severity 3, at most 1,000 images; full: five severities, all images"
    )
    reference: str | None = Field(
        description="corruptions.csv of another evaluation, or its folder: corruption errors relative to it"
    )
    images: bool = Field(description="show faces of the data in report.html; false gives a page to pass on")
    groups: Annotated[list[Annotated[str, Field(min_length=1)]], Field(max_length=4)] = Field(
        description="attributes whose intersections with the label are measured, at most 4; []: those that the run "
        "was trained with, else Young and Heavy_Makeup if the data have them"
    )
    card: CardConfig
    wandb: bool | Auto = Field(
        description="log the numbers to the run's W&B as well, if it has one; auto: if the run's files are yours"
    )
    data: DataConfig
    accelerator: Accelerator = Field(description=ACCELERATOR)

    @model_validator(mode="after")
    def _together(self) -> EvaluateConfig:
        refuse(idle_face_fields(self))
        return self


def _as_list(value: Any) -> Any:
    """A list of texts: a single path may lack its brackets, and a job of a sweep is named by a number."""
    items = value if isinstance(value, list) else [value]
    texts = [str(item) if isinstance(item, int) and not isinstance(item, bool) else item for item in items]
    if not texts:
        raise ValueError("it should name runs: runs=[A,B], the directory of a sweep, or a glob in quotes")
    return texts


class Speed(Section):
    """The measurement of inference on this machine."""

    measure: bool = Field(description="measure images per second now; false leaves the column out")
    batch_size: Count = Field(description="images per batch")
    seconds: Positive = Field(description="shortest duration of one measurement, s")
    repeats: Count = Field(description="measurements of each network, taken in turns; their median counts")


class CompareConfig(Root):
    """The runs to compare, and on what. Their stored results are read; nothing is predicted again."""

    runs: Annotated[list[NonEmpty | list[NonEmpty]], BeforeValidator(_as_list)] = Field(
        description="run directories [A,B,C], the directory of a sweep, a glob in quotes; [A,[B,C]] takes the mean of "
        "B and C as one; beside them answers of any other tool: .csv or .parquet with image_id and probability or label"
    )
    output: str = Field(min_length=1, description="new folder for comparison.json, .md, .html and figures/")
    split: Literal["auto", "test", "valid"] = Field(
        description="split to compare on; auto: test, or valid where trials of a search have not seen test"
    )
    evaluation: str | None = Field(
        description="compare on the results of `evaluate` in <run>/evaluation/NAME, such as folder-test; null: on the "
        "run's own data"
    )
    images: Literal["same", "common"] = Field(
        description="runs tested on different images: same refuses them, common compares on those that all share"
    )
    accelerator: Accelerator = Field(description=f"{ACCELERATOR}, for the measurement of speed")
    wandb: bool = Field(default=False, description="log the verdict and the table to W&B, in the first run's project")
    speed: Speed
