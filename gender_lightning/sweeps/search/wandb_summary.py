"""A search in W&B: one run that summarises it, beside the runs of its trials."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.study import Study

from gender_lightning.config import WandbLogger
from gender_lightning.runs import Run
from gender_lightning.sweeps.search.plots import figures

if TYPE_CHECKING:
    from wandb import Run as WandbRun

WANDB_ID = "wandb_id"


def log_search(config: WandbLogger, study: Study, directory: Path, group: str, summary: Mapping[str, Any]) -> None:
    """Log the table of trials, the plots and the best trial; a search that continues logs to the same W&B run.

    Args:
        config: The logger section of the trials.
        study: The record of the search.
        directory: The directory of the sweep, which holds `trials.csv`.
        group: The W&B group of the trials.
        summary: The content of `summary.json`.
    """
    # imported here, since they import torch, which the sweep does not need otherwise
    from gender_lightning.training.logs.loggers import flatten
    from gender_lightning.training.logs.wandb_place import new_id, project_of
    from gender_lightning.training.logs.wandb_session import GuardedWandbLogger, open_run
    from gender_lightning.wandb_account import choose_mode

    mode = choose_mode(config.mode)
    if mode == "disabled":
        return
    run_id = study.user_attrs.get(WANDB_ID)
    if run_id is None:
        run_id = new_id()
        study.set_user_attr(WANDB_ID, run_id)
    opener = partial(
        open_run,
        mode=mode,
        directory=directory,
        run_id=run_id,
        config={"study": study.study_name},
        project=project_of(config),
        entity=config.entity,
        group=config.group or group,
        tags=config.tags or None,
        name=f"{group} summary",
        job_type="sweep",
    )
    logger = GuardedWandbLogger(opener, project=project_of(config), run_id=run_id, directory=directory)
    logger.attempt("log the trials", partial(_log_table, directory=directory))
    plots = figures(study)
    if plots:
        logger.attempt("log the plots", partial(_log_plots, plots=plots))
    best = {f"best.{position}": entry for position, entry in enumerate(summary["best"])}
    flat = {**flatten(best), **summary.get("test", {})}
    logger.attempt("log the best", lambda run: run.summary.update(flat))
    logger.finish(0)


def _log_table(experiment: WandbRun, directory: Path) -> None:
    import wandb

    with (directory / "trials.csv").open(newline="") as file:
        header, *rows = list(csv.reader(file))
    place = header.index("run")
    data: list[Any] = [[*row, _link(experiment, directory / row[place])] for row in rows]
    experiment.log({"trials": wandb.Table(columns=[*header, "wandb"], data=data)})


def _link(experiment: WandbRun, directory: Path) -> str:
    """The address of a trial's own W&B run, beside that of the summary; its id where there is no address, offline."""
    run_id = str(Run(directory).info().get(WANDB_ID) or "")
    return f"{experiment.url.rpartition('/')[0]}/{run_id}" if run_id and experiment.url else run_id


def _log_plots(experiment: WandbRun, plots: Mapping[str, Any]) -> None:
    import wandb

    experiment.log({f"search/{title}": wandb.Plotly(figure) for title, figure in plots.items()})
