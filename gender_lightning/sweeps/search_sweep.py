"""A search: trials on every slot until the study has enough of them."""

from __future__ import annotations

import json
import math
import shutil
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from optuna.trial import Trial, TrialState
from pydantic import TypeAdapter

from gender_lightning.config import LoggerConfig, SearchConfig, parse_config
from gender_lightning.console import console
from gender_lightning.errors import UserError
from gender_lightning.job import TrialLink
from gender_lightning.runs import Run
from gender_lightning.sweeps.board import Board
from gender_lightning.sweeps.grid_sweep import allocate
from gender_lightning.sweeps.jobs import Job, JobResult, run_job
from gender_lightning.sweeps.pool import work_off
from gender_lightning.sweeps.processes import Children, Stopped
from gender_lightning.sweeps.slots import Slot
from gender_lightning.sweeps.space import Space, make_space
from gender_lightning.sweeps.storage import open_storage, quiet
from gender_lightning.sweeps.study import checked, open_study, storage_place
from gender_lightning.sweeps.trials import ENDED, RETRIES, RUN, Trials

_POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Plan:
    """What all trials share."""

    settings: SearchConfig
    space: Space
    fixed: tuple[str, ...]
    directory: Path
    devices: int
    logger: LoggerConfig  # of the trials

    @property
    def always(self) -> tuple[str, ...]:
        """The overrides that a trial has besides its point: best.ckpt is the epoch that the search goes by."""
        metric, mode = next(iter(self.settings.objectives.items()))
        chosen = any(text.startswith("callbacks.checkpoint.") for text in self.fixed)
        if chosen or metric == "val/accuracy" or not metric.startswith("val/"):
            return self.fixed
        return (*self.fixed, f"callbacks.checkpoint.monitor={metric}", f"callbacks.checkpoint.mode={mode}")


def make_plan(
    config: DictConfig, fixed: Sequence[str], swept: Sequence[str], *, devices: int, directory: Path, loader: Any = None
) -> Plan:
    """Read the settings and the space of a search.

    Raises:
        UserError: whatever is wrong with them.
    """
    values = OmegaConf.to_container(config.search, resolve=True)
    assert isinstance(values, dict)
    settings = parse_config(SearchConfig, {str(key): value for key, value in values.items()})

    def current(key: str) -> Any:
        choices = config.hydra.runtime.choices
        return choices[key] if key in choices else OmegaConf.select(config, key)

    space = make_space(settings.space, swept, fixed, current, loader)
    # one logger is a union, which pydantic validates as such only with an adapter around it
    logger = TypeAdapter(LoggerConfig).validate_python(OmegaConf.to_container(config.logger, resolve=True))
    return Plan(checked(settings, space), space, tuple(fixed), directory, max(1, devices), logger)


def run_search(plan: Plan, slots: Sequence[Slot]) -> tuple[int, Trials]:
    """Run trials until the study is full.

    Returns:
        The exit code (0; 1 when it stopped early; 130 when it was interrupted), and the trials.

    Raises:
        UserError: the directory, the storage or the study cannot be used.
    """
    quiet()
    allocate(plan.directory, again=True)
    storage = open_storage(storage_place(plan.settings, plan.directory))
    study = open_study(plan.settings, storage, plan.space, plan.fixed, plan.directory)
    trials = Trials(study, storage, plan.settings, plan.directory)
    search = _Search(plan, trials, slots)
    stop_beating = threading.Event()
    beating = threading.Thread(target=_beat, args=(trials, stop_beating, plan.settings.heartbeat_seconds), daemon=True)
    beating.start()
    try:
        with search.board.shown():
            interrupted = work_off(slots, search.work, search.children, search.watch)
    finally:
        stop_beating.set()
        beating.join()
    if interrupted:
        console.print("The same command goes on with this search.")
        return 130, trials
    if search.reason:
        console.print(search.reason, markup=False)
    return int(not trials.is_over() and not search.timed_out), trials


def _beat(trials: Trials, stop: threading.Event, seconds: float) -> None:
    while not stop.wait(seconds):
        trials.beat()


class _Search:
    """What the slots do."""

    def __init__(self, plan: Plan, trials: Trials, slots: Sequence[Slot]) -> None:
        self.plan, self.trials, self.children = plan, trials, Children()
        settings = plan.settings
        ended = len(trials.study.get_trials(deepcopy=False, states=ENDED))
        self.board = Board(settings.study, total=settings.n_trials, workers=len(slots), ended=ended)
        self.reason, self.timed_out = "", False
        self._failures = 0
        self._until = math.inf if settings.seconds is None else time.monotonic() + settings.seconds
        self._watched = 0.0
        self._lock = threading.Lock()

    def work(self, slot: Slot) -> None:
        """Take trials and run them, until there are enough."""
        while not self.children.stopping.is_set() and not self.reason:
            if time.monotonic() > self._until:
                self.timed_out, self.reason = True, "search.max_time is over. The same command goes on."
                return
            trial = self.trials.claim()
            if trial is not None:
                self._run(trial, slot)
            elif self.trials.is_over():
                return
            else:  # another runs the last ones, and may fail
                self.children.stopping.wait(_POLL_SECONDS)

    def watch(self) -> None:
        """Show how the running trials do."""
        if time.monotonic() - self._watched > _POLL_SECONDS:
            self._watched = time.monotonic()
            states = (TrialState.RUNNING,)
            for trial in self.trials.study.get_trials(deepcopy=False, states=states):
                if trial.intermediate_values:
                    number = int(trial.user_attrs.get(RUN, trial.number))
                    self.board.progress(number, trial.intermediate_values[max(trial.intermediate_values)])
        self.board.refresh()

    def _run(self, trial: Trial, slot: Slot) -> None:
        point = self.plan.space.suggest(trial)
        job, number = self._job(trial, point), int(trial.user_attrs[RUN])
        self.board.started(number, "  ".join(f"{name}={_short(value)}" for name, value in point.items()))
        try:
            result = self._earlier(trial, job) or run_job(job, slot, self.children)
        except Stopped:
            self.trials.try_again(trial.number, died=False)
            raise
        state, value, error = self._record(trial, result)
        self.board.ended(number, state, value, error)
        if state == "failed":
            with self._lock:
                self._failures += 1
                if self._failures >= self.plan.settings.max_failures:
                    self.reason = f"{self._failures} trials have failed (search.max_failures): no more are started."

    def _job(self, trial: Trial, point: dict[str, Any]) -> Job:
        number = int(trial.user_attrs[RUN])
        directory = self.plan.directory / str(number)
        run = Run(directory)
        again = RETRIES in trial.user_attrs and run.last.is_file() and bool(run.info())
        if directory.exists() and not again:
            if RETRIES not in trial.user_attrs:
                raise UserError(f"{directory} holds another run. Choose another study with search.study=...")
            shutil.rmtree(directory)  # it had not finished an epoch
        settings = self.plan.settings
        link = TrialLink(
            storage=storage_place(settings, self.plan.directory),
            study=settings.study,
            id=trial._trial_id,
            metrics=dict(settings.objectives),
            pruner=settings.pruner if len(settings.objectives) == 1 else None,
        )
        overrides = (*self.plan.always, *self.plan.space.overrides(point), "test=false")
        return Job(number, overrides, directory, devices=self.plan.devices, resume=again, trial=link)

    def _earlier(self, trial: Trial, job: Job) -> JobResult | None:
        """What the run has come to already, where only the record of it was lost."""
        if not job.resume or (status := str(Run(job.directory).info().get("status"))) not in ("done", "pruned"):
            return None
        return JobResult(job, status, _metrics_of(job.directory))

    def _record(self, trial: Trial, result: JobResult) -> tuple[str, float | None, str]:
        """Tell the study how a trial ended; the state, the first objective and the error to show."""
        names = list(self.plan.settings.objectives)
        if result.status == "done":
            found = _metrics_of(result.job.directory)
            values = [found.get(name, math.nan) for name in names]
            if all(math.isfinite(value) for value in values):
                self.trials.tell(trial, values, TrialState.COMPLETE)
                self._note_best()
                return "done", values[0], ""
            error = ", ".join(f"{name} is {value}" for name, value in zip(names, values, strict=True))
        elif result.status == "pruned":
            self.trials.tell(trial, None, TrialState.PRUNED)
            return "pruned", None, ""
        elif result.status in ("killed", "interrupted"):
            stopped = self.children.stopping.is_set()
            if self.trials.try_again(trial.number, died=not stopped):
                return "interrupted" if stopped else "cut off, goes on", None, ""
            return "failed", None, result.error
        else:
            error = result.error
        self.trials.tell(trial, None, TrialState.FAIL, error)
        return "failed", None, error

    def _note_best(self) -> None:
        if len(self.plan.settings.objectives) == 1:
            best = self.trials.study.best_trial
            assert best.value is not None
            self.board.best = (int(best.user_attrs.get(RUN, best.number)), best.value)


def _metrics_of(directory: Path) -> dict[str, float]:
    """The final metrics of a run, and what it cost."""
    file = directory / "metrics.json"
    metrics = json.loads(file.read_text()) if file.is_file() else {}
    info = Run(directory).info()
    costs = {name: float(info[name]) for name in ("seconds", "images_per_second") if info.get(name) is not None}
    return {**metrics, **costs}


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
