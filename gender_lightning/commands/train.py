"""`gender-lightning train`: fit a classifier, then test the best checkpoint once."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, Timer

from gender_lightning import building
from gender_lightning.commands.steps.preparation import Parts, new_run, resume_run
from gender_lightning.commands.steps.remembering import remember_valid
from gender_lightning.commands.steps.reporting import print_result, set_up_logging
from gender_lightning.config import TrainConfig, WandbLogger
from gender_lightning.console import record
from gender_lightning.data.datamodule import FaceDataModule
from gender_lightning.data.rows.fingerprint import described
from gender_lightning.diagnostics.gallery import with_decisions
from gender_lightning.evaluation.metrics import classification_metrics, fit_temperature
from gender_lightning.evaluation.predictions import predictions_table, read_predictions, write_predictions
from gender_lightning.evaluation.thresholds import choose_threshold
from gender_lightning.interruption import ASKED
from gender_lightning.job import this_job
from gender_lightning.machine.energy import metered, nvml_gpus, rapl_zones
from gender_lightning.machine.hardware import Hardware
from gender_lightning.models.checkpoints.checkpoint import Network, read_checkpoint, update_spec
from gender_lightning.runs import Pruned, Run, is_first_process
from gender_lightning.sweeps.search.pruning import ReportToSearch
from gender_lightning.training.callbacks.checkpoints import Checkpoints, Rhythm
from gender_lightning.training.callbacks.early_stopping import EarlyStopping
from gender_lightning.training.callbacks.ema import Ema
from gender_lightning.training.callbacks.finite_loss import FiniteLoss
from gender_lightning.training.callbacks.first_step import FirstStep
from gender_lightning.training.callbacks.gradient_norm import GradientNorm
from gender_lightning.training.callbacks.learning_rate import LearningRate
from gender_lightning.training.callbacks.progress import ProgressBar
from gender_lightning.training.callbacks.throughput import Throughput
from gender_lightning.training.callbacks.time_limit import TimeLimit
from gender_lightning.training.classifier import GenderClassifier
from gender_lightning.training.faults import explained
from gender_lightning.training.logs.loggers import finishing, make_loggers
from gender_lightning.training.logs.metrics_csv import MetricsCsv, read_rows
from gender_lightning.training.logs.wandb_run import WandbReport, WorstFaces, report_run
from gender_lightning.training.measured import measured
from gender_lightning.training.ranks import one_report, watch_ranks
from gender_lightning.training.trainer import make_trainer

log = logging.getLogger(__name__)
Metrics = dict[str, float]


def main(values: dict[str, Any]) -> Run:
    """Train from the composed configuration, and print the result."""
    set_up_logging()
    config, parts, run = new_run(values) if values["resume"] is None else resume_run(str(values["resume"]))
    try:
        metrics = train(config, parts, run)
    except Pruned:
        if is_first_process():
            log.info("Pruned: the search has stopped this trial early.")
        return run
    if is_first_process():
        print_result(run, metrics)
    return run


def train(config: TrainConfig, parts: Parts, run: Run) -> Metrics:
    """Fit, calibrate on valid, and test the best checkpoint once; all results go into the run directory."""
    data, model = parts.data, parts.model
    preemption = config.trainer.preemption_signal
    signals = (*ASKED, preemption) if preemption else ASKED
    with run.alone(), run.recording(signals), run.log_file(), measuring_energy(run, parts.hardware, config):
        run.update(trainer=asdict(parts.hardware), learning_rate=model.optimizer.lr, **model.groups.described())
        if is_first_process():
            run.update(data_set=described({split: data.index(split) for split in ("train", "valid", "test")}))
        loggers = make_loggers(config.logger, run)
        with finishing(loggers), one_report(run), explained(run):
            callbacks = make_callbacks(config, run, loggers, data.has_valid)
            trainer = make_trainer(
                config.trainer, parts.hardware, run, callbacks=callbacks, loggers=loggers, has_valid=data.has_valid,
                one_size=not config.augmentation.progressive,
            )  # fmt: skip
            watch_ranks(trainer, run)
            trainer.fit(model, data, ckpt_path=run.resume_from, weights_only=True if run.resume_from else None)
            if any(isinstance(callback, ReportToSearch) and callback.pruned for callback in callbacks):
                raise Pruned
            run.update(images_per_second=_images_per_second(run.path / "metrics.csv"), **measured(trainer))
            metrics = finish(config, run, trainer, model, data, parts.hardware)
            report(config, run, loggers, model, data)
    return metrics


@contextmanager
def measuring_energy(run: Run, hardware: Hardware, config: TrainConfig) -> Iterator[None]:
    """Add the training's energy to `run.json`: `energy_wh`, of which `energy_parts` come from CPU and GPUs.

    Nothing is written where the machine does not tell, where the GPUs that train are not among what it tells, and
    where a part of the training (another node, an earlier job) was not measured.
    """
    before, info = 0.0, run.info()
    gpus = nvml_gpus(hardware.devices if hardware.device_type == "cuda" else 0)
    whole = config.trainer.num_nodes == 1 and (hardware.device_type == "cpu" or bool(gpus))
    if run.resumed:
        before = float(info.get("energy_wh") or 0.0)
        whole = whole and before > 0
    with metered([*rapl_zones(), *gpus] if whole and is_first_process() else []) as meter:
        yield
    if used := meter.watt_hours:
        parts = {kind: round(used.get(kind, 0.0) + info.get("energy_parts", {}).get(kind, 0.0), 3) for kind in used}
        run.update(energy_wh=round(sum(used.values()) + before, 3), energy_parts=parts)


def make_callbacks(config: TrainConfig, run: Run, loggers: list[Any], has_valid: bool) -> list[Callback]:
    """Our callbacks in the order in which they depend on each other, then the user's."""
    settings = config.callbacks
    throughput = Throughput()
    ema = Ema(settings.ema.decay) if settings.ema.decay > 0 else None
    callbacks: list[Callback] = [ema] if ema else []
    callbacks += [throughput, MetricsCsv(run.path / "metrics.csv", throughput), ProgressBar(throughput)]
    finite = FiniteLoss()
    callbacks += [FirstStep(run), finite]
    if loggers:
        every, picture = config.trainer.log_every_n_steps, _pictures(config) != "none"
        callbacks += [LearningRate(every), *([GradientNorm(every)] if settings.gradient_norm else [])]
        callbacks.append(WandbReport(picture=picture))
    if settings.early_stopping.patience is not None and not has_valid:
        log.warning("There is no valid split, so callbacks.early_stopping has nothing to monitor.")
    elif settings.early_stopping.patience is not None:
        callbacks.append(
            EarlyStopping(
                settings.checkpoint.monitor,
                extended=run.extended,
                mode=settings.checkpoint.mode,
                patience=settings.early_stopping.patience,
                min_delta=settings.early_stopping.min_delta,
            )
        )
    callbacks += [
        building.build(section, building.CALLBACK, allowed=config.packages) for section in settings.extra.values()
    ]
    if config.trainer.max_time is not None:
        if any(isinstance(callback, Timer) for callback in callbacks):
            log.warning("trainer.max_time is ignored, since callbacks.extra has a timer.")
        else:
            callbacks.append(TimeLimit(config.trainer.max_time))
    job = this_job()
    if job is not None and job.trial is not None:
        callbacks.append(ReportToSearch(job.trial))
    if not config.trainer.fast_dev_run:  # a fast_dev_run keeps nothing
        monitor, mode = settings.checkpoint.monitor, settings.checkpoint.mode
        rhythm = Rhythm(settings.checkpoint.every_n_steps, settings.checkpoint.every_minutes)
        callbacks.append(
            Checkpoints(
                run.checkpoints,
                monitor=monitor,
                mode=mode,
                ema=ema,
                rhythm=rhythm,
                interruption=run.interruption,
                finite=finite,
                resumed_from=run.resume_from,
            )
        )
    return callbacks


def report(config: TrainConfig, run: Run, loggers: list[Any], model: GenderClassifier, data: FaceDataModule) -> None:
    """Log what the run directory holds to W&B, with the worst faces of valid where pictures of them are allowed."""
    log_model = isinstance(config.logger, WandbLogger) and config.logger.log_model
    shown = _pictures(config) == "worst" and data.has_valid and is_first_process()
    report_run(loggers, run, log_model=log_model, worst=partial(worst_faces, run, model, data) if shown else None)


def worst_faces(run: Run, model: GenderClassifier, data: FaceDataModule, most: int = 32) -> WorstFaces:
    """The faces of valid with the largest loss, as the network saw them."""
    rows = with_decisions(read_predictions(run.predictions / "valid.parquet"))
    rows = rows.sort_values(["loss", "row"], ascending=[False, True], kind="stable").head(most)
    places = model.table["valid"].indices[rows["row"].to_numpy()]
    pictures = data.dataset("valid").decode(places.tolist())
    return WorstFaces(pictures.permute(0, 2, 3, 1).numpy(), rows)


def _pictures(config: TrainConfig) -> str:
    return config.logger.pictures if isinstance(config.logger, WandbLogger) else "none"


def finish(
    config: TrainConfig,
    run: Run,
    trainer: pl.Trainer,
    model: GenderClassifier,
    data: FaceDataModule,
    hardware: Hardware,
) -> Metrics:
    """Load the best weights, calibrate them on valid, and test them once.

    Temperature and threshold are chosen on valid alone; `accuracy` and the recalls use the threshold 0.5.
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
        if is_first_process():
            rows = data.index("valid").select(table.indices)
            frame = predictions_table(rows, "valid", table.logits, temperature)
            chosen = choose_threshold(frame, temperature, config.threshold)
            log.info(chosen.said)
            network = Network(model.net, replace(model.spec, temperature=temperature))
            valid = remember_valid(
                network, data.dataset("valid"), np.asarray(table.indices), frame, hardware, chosen.value
            )
            update_spec(run.best, valid, temperature=temperature, threshold=chosen.value, threshold_rule=chosen.rule)
        metrics |= save_split(run, data, model, "valid", temperature)
    if config.test:
        trainer.test(model, data.loader("test"), verbose=False)
        metrics |= save_split(run, data, model, "test", temperature)
    run.write_metrics(metrics)
    for name, value in metrics.items():
        record.info("%s %.4f", name, value)
    return metrics


def save_split(run: Run, data: FaceDataModule, model: GenderClassifier, split: str, temperature: float) -> Metrics:
    """Write the predictions table of a split and return its metrics, named `val/...` or `test/...`."""
    table = model.table[split]
    if is_first_process():
        rows = data.index(split).select(table.indices)  # all of them, unless batches were limited
        frame = predictions_table(rows, split, table.logits, temperature)
        write_predictions(frame, run.predictions / f"{split}.parquet")
    prefix = "val" if split == "valid" else split
    metrics = classification_metrics(table.labels, table.logits, temperature=temperature)
    metrics |= model.group_metrics(split, sizes=True)
    return {f"{prefix}/{name}": value for name, value in metrics.items()}


def _images_per_second(curve: Path) -> float | None:
    """Images per second over the whole training: the harmonic mean over epochs, which have equally many images."""
    rates = [float(row.get("images_per_second", "nan")) for row in read_rows(curve)]
    measured = [rate for rate in rates if math.isfinite(rate) and rate > 0]
    return round(len(measured) / sum(1 / rate for rate in measured), 1) if measured else None
