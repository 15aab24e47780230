"""Logging of an evaluation to the W&B run of its training; a failure there never stops the evaluation."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from gender_lightning.config import WandbLogger
from gender_lightning.evaluation.results import Evaluation
from gender_lightning.evaluation.subgroups.fairness import fairness_table
from gender_lightning.evaluation.subgroups.slices import slices_table
from gender_lightning.runs import Run
from gender_lightning.training.logs.wandb_place import entity_of, project_of
from gender_lightning.training.logs.wandb_run import log_curves
from gender_lightning.training.logs.wandb_session import GuardedWandbLogger, open_run
from gender_lightning.wandb_account import choose_mode, describe, named_mode

if TYPE_CHECKING:
    import pandas as pd
    from wandb import Run as WandbRun

log = logging.getLogger(__name__)


def log_evaluation(run: Run, evaluation: Evaluation, table: pd.DataFrame, output: Path) -> None:
    """Add an evaluation to the W&B run of a training: summary, tables of slices, gaps and corruptions, curves, figures.

    Names begin with `evaluation/<data>-<split>/`, so that the training's own `test/accuracy` is kept. Nothing is
    logged for a run without W&B, or while its training is still logging.

    Args:
        run: The run of the checkpoint.
        evaluation: The results.
        table: The predictions table they were computed from.
        output: Directory of the evaluation, with its figures and corruptions.csv.
    """
    session = _session(run)
    if session is None:
        return
    prefix = f"evaluation/{evaluation.data}-{evaluation.split}"
    session.attempt("log an evaluation", partial(_log_numbers, evaluation=evaluation, prefix=prefix))
    session.attempt("log curves", partial(log_curves, table=table, prefix=prefix))
    session.attempt("log figures", partial(_log_figures, output=output, prefix=prefix))
    session.finish(0)


def _session(run: Run) -> GuardedWandbLogger | None:
    info, settings = run.info(), run.config().get("logger")
    if not isinstance(settings, dict) or settings.get("name") != "wandb" or not info.get("wandb_id"):
        return None
    if info.get("status") == "running":
        log.warning("The training still writes to its W&B run: the evaluation is not logged there.")
        return None
    try:
        config = WandbLogger.model_validate(settings)
    except ValidationError as error:
        log.warning("The run's logger section is invalid (%s): nothing is logged to W&B.", describe(error))
        return None
    if named_mode(config.mode) == "disabled":
        return None
    run_id = str(info["wandb_id"])
    try:
        return GuardedWandbLogger(
            partial(_open, config, run, run_id), project=project_of(config, info), run_id=run_id, directory=run.path
        )
    except ModuleNotFoundError as error:  # Lightning found no wandb
        log.warning("W&B does not work (%s). The evaluation continues without it.", describe(error))
        return None


def _open(config: WandbLogger, run: Run, run_id: str) -> WandbRun | None:
    mode = choose_mode(config.mode)
    assert mode != "disabled"
    info = run.info()
    return open_run(
        mode=mode,
        directory=run.path,
        run_id=run_id,
        config={},
        project=project_of(config, info),
        entity=entity_of(config, info),
    )


def _log_numbers(experiment: WandbRun, evaluation: Evaluation, prefix: str) -> None:
    import wandb

    numbers = evaluation.flat()
    named = {f"{prefix}/{name.partition('/')[2]}": value for name, value in numbers.items() if value is not None}
    experiment.summary.update(named)
    frames = {"slices": slices_table(evaluation.slices)}
    if evaluation.fairness is not None and evaluation.fairness.attributes:
        frames["fairness"] = fairness_table(evaluation.fairness)
    for name, frame in frames.items():
        rows: list[Any] = frame.astype(object).where(frame.notna(), None).to_numpy().tolist()
        experiment.log({f"{prefix}/{name}": wandb.Table(columns=[*frame.columns], data=rows)})


def _log_figures(experiment: WandbRun, output: Path, prefix: str) -> None:
    import pandas as pd
    import wandb

    pictures = sorted((output / "figures").glob("*.png"))
    shown: dict[str, Any] = {f"{prefix}/figures/{path.stem}": wandb.Image(str(path)) for path in pictures}
    corruptions = output / "corruptions.csv"
    if corruptions.is_file():
        shown[f"{prefix}/corruptions"] = wandb.Table(dataframe=pd.read_csv(corruptions, keep_default_na=False))
    experiment.log(shown)
