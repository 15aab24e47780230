"""Creation and shutdown of the loggers of a run."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl

from gender_lightning.config import LoggerConfig, TensorBoardLogger, WandbLogger
from gender_lightning.errors import UserError
from gender_lightning.runs import Pruned, Run, is_first_process
from gender_lightning.training.logs.tensorboard import RunTensorBoard
from gender_lightning.training.logs.wandb_place import (
    ID,
    RECORDED_ENTITY,
    RECORDED_PROJECT,
    place_of,
    project_of,
    run_id_of,
)
from gender_lightning.training.logs.wandb_session import GuardedWandbLogger, open_run
from gender_lightning.wandb_account import choose_mode, describe, named_mode

if TYPE_CHECKING:
    from wandb import Run as WandbRun

log = logging.getLogger(__name__)


def make_loggers(config: LoggerConfig, run: Run) -> list[pl.loggers.Logger]:
    """Create the loggers, the same list on every rank; the id of a W&B run is stored in `run.json`.

    The list is empty for csv (every run has a callback that writes `metrics.csv`), if W&B is disabled, and for a
    `fast_dev_run`, which keeps nothing. Shut them down with `finish_loggers`.

    Raises:
        UserError: TensorBoard is not installed. Problems with W&B never raise: the training continues without it.
    """
    resolved = run.config()
    if resolved.get("trainer", {}).get("fast_dev_run"):
        return []
    if isinstance(config, TensorBoardLogger):
        return [_make_tensorboard(run, resolved)]
    if isinstance(config, WandbLogger):
        return _make_wandb(config, run, resolved)
    return []


def finish_loggers(loggers: Sequence[pl.loggers.Logger], exit_code: int) -> None:
    """Shut the loggers down and report the exit code to W&B. May be called repeatedly, and never raises."""
    for logger in loggers:
        if isinstance(logger, GuardedWandbLogger):
            logger.finish(exit_code)
        elif isinstance(logger, RunTensorBoard):
            logger.finish()


@contextmanager
def finishing(loggers: Sequence[pl.loggers.Logger]) -> Iterator[None]:
    """Call `finish_loggers` at the end of the block with exit code 0, 2 (`UserError`), 130 (Ctrl-C) or 1 (others)."""
    exit_code = 1
    try:
        yield
        exit_code = 0
    except Pruned:
        exit_code = 0
        for logger in loggers:
            if isinstance(logger, GuardedWandbLogger):
                logger.attempt("mark the run as pruned", mark_pruned)
        raise
    except UserError:
        exit_code = 2
        raise
    except KeyboardInterrupt:
        exit_code = 130
        raise
    except SystemExit as stop:
        exit_code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        raise
    finally:
        finish_loggers(loggers, exit_code)


def mark_pruned(experiment: WandbRun) -> None:
    """Tag a W&B run as pruned, since W&B itself only knows finished, failed and crashed."""
    experiment.tags = (*(experiment.tags or ()), "pruned")
    experiment.summary["state"] = "pruned"


def flatten(section: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested mappings to dotted keys; lists and empty mappings remain values."""
    flat: dict[str, Any] = {}
    for key, value in section.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _make_tensorboard(run: Run, resolved: Mapping[str, Any]) -> pl.loggers.Logger:
    try:
        return RunTensorBoard(run, flatten(resolved))
    except ModuleNotFoundError:
        raise UserError("TensorBoard is not installed.", "Install tensorboard, or choose logger=csv.") from None


def _make_wandb(config: WandbLogger, run: Run, resolved: Mapping[str, Any]) -> list[pl.loggers.Logger]:
    if named_mode(config.mode) == "disabled":
        return []
    info = run.info()
    run_id, opener = info.get(ID), None
    if is_first_process():
        run_id = run_id_of(info)
        run.update(**{ID: run_id})  # first, so that a resume finds it even if opening fails
        known = {**resolved, "data_set": info.get("data_set", {})}  # runs on other data are told apart by it
        opener = partial(_open_wandb, config, run.path, run_id, known, place_of(config, resolved, info))

    def record(opened: WandbRun) -> None:
        run.update(**{ID: opened.id, RECORDED_PROJECT: opened.project, RECORDED_ENTITY: opened.entity or None})

    try:
        return [
            GuardedWandbLogger(
                opener, project=project_of(config, info), run_id=run_id, directory=run.path, on_open=record
            )
        ]
    except ModuleNotFoundError as error:  # Lightning found no wandb
        log.warning("W&B does not work (%s). The training continues without it.", describe(error))
        return [pl.loggers.logger.DummyLogger()]


def _open_wandb(
    config: WandbLogger, directory: Path, run_id: str, resolved: Mapping[str, Any], place: Mapping[str, Any]
) -> WandbRun | None:
    mode = choose_mode(config.mode)
    assert mode != "disabled"
    if config.mode == "online" and mode == "offline":
        log.warning("logger.mode=online, but nobody is logged in to W&B. Log in with `wandb login`.")
    return open_run(mode=mode, directory=directory, run_id=run_id, config=flatten(resolved), **place)
