"""A comparison in W&B: a run of its own, of the job type `compare`, in the project of the first run."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from gender_lightning.comparison.columns import columns_of, count
from gender_lightning.comparison.result import Comparison
from gender_lightning.config import WandbLogger
from gender_lightning.training.logs.wandb_place import entity_of, new_id, project_of
from gender_lightning.training.logs.wandb_session import GuardedWandbLogger, open_run
from gender_lightning.wandb_account import choose_mode

if TYPE_CHECKING:
    from wandb import Run as WandbRun

_LONGEST = 128  # characters of a name that W&B shows


def log_comparison(comparison: Comparison, output: Path) -> None:
    """Log the verdict, the table and the page; a failure there is a warning.

    Args:
        comparison: What was found.
        output: The folder with `comparison.html`; W&B's own files go there too.
    """
    first = comparison.rows[0].runs[0]
    config = _logger_of(first.config.get("logger"))
    mode = choose_mode(config.mode)
    if mode == "disabled":
        return
    info = first.run.info()
    project, run_id = project_of(config, info), new_id()
    compared = [str(run.run.info().get("wandb_id") or run.run.path) for row in comparison.rows for run in row.runs]
    opener = partial(
        open_run,
        mode=mode,
        directory=output,
        run_id=run_id,
        config={"data": comparison.data, "split": comparison.split, "runs": compared},
        project=project,
        entity=entity_of(config, info),
        name=f"compare {output.name}"[:_LONGEST],
        job_type="compare",
    )
    logger = GuardedWandbLogger(opener, project=project, run_id=run_id, directory=output)
    logger.attempt("log a comparison", partial(_log, comparison=comparison, output=output))
    logger.finish(0)


def _logger_of(section: Any) -> WandbLogger:
    """The logger section of a run, or W&B's defaults if it logged elsewhere."""
    try:
        return WandbLogger.model_validate(section)
    except ValidationError:
        return WandbLogger(
            name="wandb", project=None, entity=None, mode="auto", group=None, tags=[], log_model=False
        )  # fmt: skip


def _log(experiment: WandbRun, comparison: Comparison, output: Path) -> None:
    import wandb

    columns = columns_of(comparison)
    rows: list[Any] = [
        [summary.row.label, count(summary), *(column.cell(summary).text for column in columns)]
        for summary in comparison.by_accuracy()
    ]
    table = wandb.Table(columns=["model", "runs", *(column.name for column in columns)], data=rows)
    page = wandb.Html(str(output / "comparison.html"), inject=False)
    experiment.log({"comparison": table, "comparison_page": page})
    experiment.summary["verdict"] = comparison.verdict.headline
