"""The typed schema of `conf/`, and the checks that need more than one field."""

from __future__ import annotations

from gender_lightning.config.augmentation import AugmentationConfig, ColorJitter
from gender_lightning.config.commands import (
    BenchmarkConfig,
    CompareConfig,
    DataCommandConfig,
    EvaluateConfig,
    Speed,
    TrainConfig,
    WandbSweepConfig,
)
from gender_lightning.config.data import CelebaData, DataConfig, FolderData, Sizes, SyntheticData
from gender_lightning.config.refit import RefitConfig
from gender_lightning.config.search import Alternative, SearchConfig
from gender_lightning.config.sections import (
    Bce,
    CallbacksConfig,
    CsvLogger,
    Distill,
    Focal,
    GroupDro,
    LoggerConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    SchedulerConfig,
    TensorBoardLogger,
    TrainerConfig,
    WandbLogger,
)
from gender_lightning.config.serving import ServeConfig
from gender_lightning.config.use import DemoConfig, ExportConfig, PopulationConfig, PredictConfig, PushConfig
from gender_lightning.config.validation import parse_config

__all__ = [
    "Alternative",
    "AugmentationConfig",
    "Bce",
    "BenchmarkConfig",
    "CallbacksConfig",
    "CelebaData",
    "ColorJitter",
    "CompareConfig",
    "CsvLogger",
    "DataCommandConfig",
    "DataConfig",
    "DemoConfig",
    "Distill",
    "EvaluateConfig",
    "ExportConfig",
    "Focal",
    "FolderData",
    "GroupDro",
    "LoggerConfig",
    "LossConfig",
    "ModelConfig",
    "OptimizerConfig",
    "PopulationConfig",
    "PredictConfig",
    "PushConfig",
    "RefitConfig",
    "SchedulerConfig",
    "SearchConfig",
    "ServeConfig",
    "Sizes",
    "Speed",
    "SyntheticData",
    "TensorBoardLogger",
    "TrainConfig",
    "TrainerConfig",
    "WandbLogger",
    "WandbSweepConfig",
    "parse_config",
]
