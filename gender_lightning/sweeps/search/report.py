"""The results of a search: trials.csv, best.yaml, summary.json, sweep.html, and one test of the best run."""

from __future__ import annotations

import csv
import fcntl
import io
import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from rich.markup import escape
from rich.table import Table

from gender_lightning.console import console, shown
from gender_lightning.csv_text import cell
from gender_lightning.evaluation.metrics import training_metrics
from gender_lightning.job import job_environment
from gender_lightning.overrides.of_run import hydra_value
from gender_lightning.runs import write_text
from gender_lightning.sweeps.jobs import sweep_name
from gender_lightning.sweeps.processes import Children
from gender_lightning.sweeps.search.plan import Plan
from gender_lightning.sweeps.search.plots import page
from gender_lightning.sweeps.search.recipe import command_line, experiment
from gender_lightning.sweeps.search.trials import CONTINUED, ERROR, RUN, START
from gender_lightning.sweeps.search.wandb_summary import log_search

log = logging.getLogger(__name__)
_ACCELERATOR = "trainer.accelerator="


def report(plan: Plan, study: Study, groups: Mapping[str, Any], *, test: bool, wandb: bool) -> None:
    """Write the files of a search and print its best.

    Args:
        plan: The settings and the space of the search.
        study: The record of its trials.
        groups: The configuration groups of `conf/`.
        test: Whether to evaluate the best run on the test split, unless that was done before. Not with several
            objectives: the choice of a run from the Pareto front is the user's.
        wandb: Whether to log a summary to W&B, where the trials are logged there too.
    """
    directory = plan.directory
    write_text(directory / "trials.csv", trials_csv(study, list(plan.settings.objectives)))
    best = best_trials(study)
    commands = [command_line((*plan.always, *plan.space.overrides(trial.params))) for trial in best]
    content = page(study, "\n".join(commands))
    if content is None:
        log.warning("sweep.html needs plotly, which is not installed. Install it and repeat the command.")
    else:
        write_text(directory / "sweep.html", content)
    if not best:
        console.print("No trial has finished yet.")
        return
    summary: dict[str, Any] = {
        "study": study.study_name,
        "best": [_entry(plan, trial) for trial in best],
        "start_seconds": _start_seconds(study),
    }
    if len(best) == 1:
        note = f"The best of {shown(directory)} ({_scores(plan, best[0])}). Copy it to conf/experiment/NAME.yaml."
        overrides = (*plan.always, *plan.space.overrides(best[0].params))
        write_text(directory / "best.yaml", experiment(overrides, groups, note=note))
    with _alone(directory):
        if test and len(best) == len(plan.settings.objectives) == 1:
            summary["test"] = _tested(plan, directory / str(_run(best[0])))
        write_text(directory / "summary.json", json.dumps(summary, indent=2) + "\n")
        if wandb and plan.logger.name == "wandb":
            log_search(plan.logger, study, directory, sweep_name(directory), summary)
    _print(plan, best, commands, summary)


def best_trials(study: Study) -> list[FrozenTrial]:
    """The best trial, or the Pareto front of several objectives; empty while no trial is complete."""
    if not study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        return []
    return [study.best_trial] if len(study.directions) == 1 else study.best_trials


def trials_csv(study: Study, metrics: list[str]) -> str:
    """One row per trial: run, state, objectives, epochs, seconds, those to its first step, parameters, error."""
    trials = [trial for trial in study.get_trials(deepcopy=False) if CONTINUED not in trial.user_attrs]
    names = sorted({name for trial in trials for name in trial.params})
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "run", "state", *metrics, "epochs", "seconds", START, *map(cell, names), "error"])
    for trial in trials:
        values = [*(trial.values or []), *[""] * len(metrics)][: len(metrics)]
        seconds = "" if trial.duration is None else round(trial.duration.total_seconds(), 1)
        epochs = max(trial.intermediate_values, default="")
        drawn = [trial.params.get(name, "") for name in names]
        parameters = [cell(value) if isinstance(value, str) else value for value in drawn]
        error = cell(str(trial.user_attrs.get(ERROR, "")).strip().rpartition("\n")[2])
        start = trial.user_attrs.get(START, "")
        row = [trial.number, _run(trial), trial.state.name.lower(), *values, epochs, seconds, start, *parameters, error]
        writer.writerow(row)
    return text.getvalue()


def _start_seconds(study: Study) -> float | None:
    """Seconds from the start of a trial's process to its first training step: the median of all trials."""
    trials = study.get_trials(deepcopy=False)
    found = [trial.user_attrs[START] for trial in trials if START in trial.user_attrs]
    return median(found) if found else None


def _run(trial: FrozenTrial) -> int:
    return int(trial.user_attrs.get(RUN, trial.number))


def _scores(plan: Plan, trial: FrozenTrial) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in zip(plan.settings.objectives, trial.values, strict=True))


def _entry(plan: Plan, trial: FrozenTrial) -> dict[str, Any]:
    values = dict(zip(plan.settings.objectives, trial.values, strict=True))
    return {"run": _run(trial), "values": values, "parameters": trial.params}


def _tested(plan: Plan, run: Path) -> dict[str, float]:
    """Evaluate the best run on the test split, once: another run only when it has become the best."""
    output = run / "evaluation" / "test"
    results = output / "metrics.json"
    if not (run / "run.json").is_file():
        console.print("The best run is on another machine: repeat the command there to test it.")
        return {}
    if not results.is_file():
        # the data section is that of the run, and the result decides nothing
        command = [sys.executable, "-m", "gender_lightning", "evaluate", f"checkpoint={hydra_value(str(run))}"]
        command += ["corruptions=none", "images=false"]  # not looked at here
        command += ["split=test", f"output={hydra_value(str(output))}"]
        command += [f"accelerator={text.partition('=')[2]}" for text in plan.fixed if text.startswith(_ACCELERATOR)]
        console.print(f"Testing the best run, {shown(run)}, once.", markup=False)
        log_file = plan.directory / "test.txt"
        if code := Children().run(command, job_environment(), log_file):
            console.print(f"The test failed (exit code {code}); {shown(log_file)} says why.", markup=False)
            return {}
    content = json.loads(results.read_text())
    assert isinstance(content, dict)
    named = {
        f"test/{key}": content.get(f"test/{key}") for key in training_metrics()
    }  # the intervals stay in the evaluation
    return {name: value for name, value in named.items() if value is not None}


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Let one sweep at a time pass: several of one search may end together, but only one tests and logs to W&B."""
    with (directory / "test.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _print(plan: Plan, best: list[FrozenTrial], commands: list[str], summary: Mapping[str, Any]) -> None:
    table = Table("run", *plan.settings.objectives, "parameters", title="best" if len(best) == 1 else "Pareto front")
    for trial in best:
        parameters = "  ".join(f"{name}={value}" for name, value in trial.params.items())
        table.add_row(str(_run(trial)), *(f"{value:.4f}" for value in trial.values), escape(parameters))
    console.print(table)
    if tested := summary.get("test"):
        console.print("  ".join(f"{name} {value:.4f}" for name, value in tested.items()), markup=False)
    if (seconds := summary["start_seconds"]) is not None:
        console.print(f"A trial begins its first step {seconds:.1f} s after its start (median).")
    for command in commands:
        console.print(command, markup=False)
    console.print(f"sweep directory: {shown(plan.directory)}", markup=False)
