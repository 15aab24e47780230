"""`gender-lightning train`: fit a classifier, then test the best checkpoint once."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from gender_lightning import building
from gender_lightning.commands.reporting import print_result, set_up_logging
from gender_lightning.config import TrainConfig, parse_config
from gender_lightning.data.datamodule import FaceDataModule
from gender_lightning.errors import UserError
from gender_lightning.evaluation.metrics import classification_metrics, fit_temperature, fit_threshold, sigmoid
from gender_lightning.evaluation.predictions import predictions_table, write_predictions
from gender_lightning.models.checkpoint import read_checkpoint, update_spec
from gender_lightning.models.classifier import GenderClassifier
from gender_lightning.runs import Run, is_first_process
from gender_lightning.training.checkpoints import Checkpoints
from gender_lightning.training.ema import Ema
from gender_lightning.training.hardware import Hardware
from gender_lightning.training.loggers import finishing, make_loggers
from gender_lightning.training.metrics_csv import MetricsCsv
from gender_lightning.training.progress import ProgressBar
from gender_lightning.training.throughput import Throughput
from gender_lightning.training.trainer import hardware_of, make_trainer
from gender_lightning.training.wandb_run import WandbReport, report_run

log = logging.getLogger(__name__)
Metrics = dict[str, float]


@dataclass(frozen=True)
class Parts:
    """Everything that can be found wrong before a run directory exists."""

    hardware: Hardware
    data: FaceDataModule
    model: GenderClassifier


def main(values: dict[str, Any]) -> None:
    """Take the composed config, train, print the result."""
    set_up_logging()
    if values["resume"] is not None:
        run = Run.resume(values["resume"])
        values = {**_configuration_of(run), "resume": str(run.path), "run_dir": str(run.path)}
        config = parse_config(TrainConfig, values)
        parts = prepare(config)
    else:
        values["data"]["root"] = str(Path(values["data"]["root"]).absolute())
        config = parse_config(TrainConfig, values)
        parts = prepare(config)  # mistakes show before anything is written
        run = Run.create(config.run_dir, values, _typed_overrides())
    metrics = train(config, parts, run)
    if is_first_process():
        print_result(run, metrics)


def prepare(config: TrainConfig) -> Parts:
    """Open the data and build the model.

    Raises:
        UserError: whatever of the machine, the data or the weights does not fit the configuration.
    """
    hardware = hardware_of(config.trainer)
    for section in config.callbacks.extra.values():
        building.check(section)
    data = FaceDataModule(config.data, seed=config.seed)
    if is_first_process():
        data.prepare_data()
    data.setup()
    pl.seed_everything(config.seed, workers=True, verbose=False)
    model = GenderClassifier(
        config.model,
        config.optimizer,
        config.scheduler,
        config.augmentation,
        config.loss,
        framing=data.framing,
        seed=config.seed,
        class_counts=data.class_counts("train"),
    )
    model.channels_last = hardware.channels_last
    model.compile_net = hardware.compile
    return Parts(hardware, data, model)


def train(config: TrainConfig, parts: Parts, run: Run) -> Metrics:
    """Fit, calibrate on valid, test the best checkpoint once; everything into the run directory."""
    data, model = parts.data, parts.model
    with run.recording(), run.log_file():
        loggers = make_loggers(config.logger, run)
        with finishing(loggers):
            callbacks = make_callbacks(config, run, loggers, data.has_valid)
            trainer = make_trainer(
                config.trainer, parts.hardware, run, callbacks=callbacks, loggers=loggers, has_valid=data.has_valid
            )
            trainer.fit(model, data, ckpt_path=run.resume_from, weights_only=True if run.resume_from else None)
            metrics = finish(config, run, trainer, model, data)
            report_run(loggers, run, log_model=config.logger.name == "wandb" and config.logger.log_model)
    return metrics


def make_callbacks(config: TrainConfig, run: Run, loggers: list[Any], has_valid: bool) -> list[Callback]:
    """Ours in the order they depend on each other, then the user's."""
    settings = config.callbacks
    throughput = Throughput()
    ema = Ema(settings.ema.decay) if settings.ema.decay > 0 else None
    callbacks: list[Callback] = [ema] if ema else []
    callbacks += [throughput, MetricsCsv(run.path / "metrics.csv", throughput), ProgressBar(throughput)]
    if loggers:
        callbacks += [pl.callbacks.LearningRateMonitor(logging_interval="step"), WandbReport()]
    if settings.early_stopping.patience is not None and has_valid:
        callbacks.append(
            pl.callbacks.EarlyStopping(
                settings.checkpoint.monitor,
                mode=settings.checkpoint.mode,
                patience=settings.early_stopping.patience,
                min_delta=settings.early_stopping.min_delta,
            )
        )
    callbacks += [building.build(section) for section in settings.extra.values()]
    callbacks.append(
        Checkpoints(run.checkpoints, monitor=settings.checkpoint.monitor, mode=settings.checkpoint.mode, ema=ema)
    )
    return callbacks


def finish(
    config: TrainConfig, run: Run, trainer: pl.Trainer, model: GenderClassifier, data: FaceDataModule
) -> Metrics:
    """Load the best weights, calibrate them on valid, test them once.

    Temperature and threshold come from valid alone; `accuracy` and the recalls are at 0.5.
    """
    if config.trainer.fast_dev_run:
        return {}
    trainer.strategy.barrier()  # rank 0 may still be writing best.ckpt
    _, weights = read_checkpoint(run.best)
    model.net.load_state_dict(weights)
    metrics: Metrics = {}
    temperature = 1.0
    if data.has_valid:
        trainer.validate(model, data.loader("valid"), verbose=False)
        table = model.table["valid"]
        temperature = fit_temperature(table.logits, table.labels)
        threshold = fit_threshold(sigmoid(table.logits.astype(np.float64) / temperature), table.labels)
        if is_first_process():
            update_spec(run.best, temperature=temperature, threshold=threshold)
        metrics |= save_split(run, data, model, "valid", temperature)
    if config.test:
        trainer.test(model, data.loader("test"), verbose=False)
        metrics |= save_split(run, data, model, "test", temperature)
    run.write_metrics(metrics)
    return metrics


def save_split(
    run: Run, data: FaceDataModule, model: GenderClassifier, split: str, temperature: float
) -> Metrics:
    """Write the predictions table of a split and compute its metrics, keyed `val/...` or `test/...`."""
    table = model.table[split]
    if is_first_process():
        rows = data.index(split).select(table.indices)  # all of them, unless batches were limited
        frame = predictions_table(rows, split, table.logits, temperature)
        write_predictions(frame, run.predictions / f"{split}.parquet")
    prefix = "val" if split == "valid" else split
    metrics = classification_metrics(table.labels, table.logits, temperature=temperature)
    return {f"{prefix}/{name}": value for name, value in metrics.items()}


def _typed_overrides() -> list[str]:
    from hydra.core.hydra_config import HydraConfig

    return list(HydraConfig.get().overrides.task)


def _configuration_of(run: Run) -> dict[str, Any]:
    """The run's own configuration, with single fields changed where the command line says so."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf

    from gender_lightning.overrides import groups

    config = OmegaConf.create(run.config())
    menu = groups()
    for override in OverridesParser.create().parse_overrides(_typed_overrides()):
        key = override.key_or_group
        if key in ("resume", "run_dir"):
            continue
        if key in menu:
            raise UserError(
                f"{override.input_line}: a resumed run keeps its own choices. Change single fields only "
                "(trainer.max_epochs=20), or start a new run."
            )
        OmegaConf.update(config, key, override.value())
    values = OmegaConf.to_container(config, resolve=True)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}
