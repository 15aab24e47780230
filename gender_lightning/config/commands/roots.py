"""One root per command: what `conf/<command>.yaml` composes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from gender_lightning.config.base import Count, Positive, Section, matching
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
