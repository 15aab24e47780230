"""A search: trials on every slot until the study has enough of them."""

from __future__ import annotations

import logging
import math
import shutil
import threading
import time
from collections.abc import Sequence
from typing import Any

from optuna.trial import Trial, TrialState

from gender_lightning.console import console
from gender_lightning.errors import UserError
from gender_lightning.job import TrialLink
from gender_lightning.runs import Run
from gender_lightning.sweeps.board import Board
from gender_lightning.sweeps.grid_sweep import allocate
from gender_lightning.sweeps.jobs import Job, JobResult, fork_servers, result_of, run_job
from gender_lightning.sweeps.pool import work_off
from gender_lightning.sweeps.processes import Children, Stopped
from gender_lightning.sweeps.search.plan import Plan
from gender_lightning.sweeps.search.storage import OUTAGES, open_storage, patiently, quiet
from gender_lightning.sweeps.search.study import open_study, storage_place
from gender_lightning.sweeps.search.trials import ENDED, RETRIES, RUN, START, Trials
from gender_lightning.sweeps.slots import Slot

log = logging.getLogger(__name__)
_POLL_SECONDS = 1.0


def run_search(plan: Plan, slots: Sequence[Slot], *, fork: bool = False) -> tuple[int, Trials]:
    """Run trials until the study is full.

    Args:
        plan: The settings and the space of the search.
        slots: One for each worker.
        fork: Start the trials from a fork server, if this system supports one.

    Returns:
        The exit code (0; 1 when it stopped early; 130 when it was interrupted), and the trials.

    Raises:
        UserError: The directory, the storage or the study cannot be used, or the storage stayed unreachable.
    """
    quiet()
    allocate(plan.directory, again=True)
    with fork_servers(slots, [plan.devices], ["optuna"], wanted=fork) as servers:
        return _run(plan, slots, Children(servers))


def _run(plan: Plan, slots: Sequence[Slot], children: Children) -> tuple[int, Trials]:
    storage = open_storage(storage_place(plan.settings, plan.directory))
    study = open_study(plan.settings, storage, plan.space, plan.fixed, plan.directory)
    trials = Trials(study, storage, plan.settings)
    search = _Search(plan, trials, slots, children)
    stop_beating = threading.Event()
    beating = threading.Thread(target=_beat, args=(trials, stop_beating, plan.settings.heartbeat_seconds), daemon=True)
    beating.start()
    try:
        with search.board.shown():
            interrupted = work_off(slots, search.work, search.children, search.watch)
    except OUTAGES as error:
        reason = str(error).strip().splitlines()[0]
        remedy = "Restore the storage and repeat the command: it continues this search."
        raise UserError(f"The search cannot continue ({reason}).", remedy, field="search.storage") from None
    finally:
        stop_beating.set()
        beating.join()
    if interrupted:
        console.print("The same command continues this search.")
        return 130, trials
    if search.reason:
        console.print(search.reason, markup=False)
    return int(not trials.is_over() and not search.timed_out), trials


def _beat(trials: Trials, stop: threading.Event, seconds: float) -> None:
    while not stop.wait(seconds):
        try:
            trials.beat()
        except OUTAGES as error:  # the study may come back before the trials are taken for dead
            log.warning("The study cannot be reached: %s", str(error).strip().splitlines()[0])


class _Search:
    """The state that all slots share, and the work of a slot."""

    def __init__(self, plan: Plan, trials: Trials, slots: Sequence[Slot], children: Children) -> None:
        self.plan, self.trials, self.children = plan, trials, children
        self.board = Board(plan.settings.study, total=plan.settings.n_trials, workers=len(slots))
        self.reason, self.timed_out = "", False
        self._failures = 0
        self._until = math.inf if plan.settings.seconds is None else time.monotonic() + plan.settings.seconds
        self._watched = -math.inf
        self._lock = threading.Lock()

    def work(self, slot: Slot) -> None:
        """Claim trials and run them until there are enough."""
        while not self.children.stopping.is_set() and not self.reason:
            if time.monotonic() > self._until:
                self.timed_out, self.reason = (
                    True,
                    "search.max_time has passed. The same command continues this search.",
                )
                return
            trial = self._patiently(self.trials.claim)
            if trial is not None:
                self._run(trial, slot)
            elif self._patiently(self.trials.is_over):
                return
            else:  # another slot or sweep runs the last ones, which may fail
                self.children.stopping.wait(_POLL_SECONDS)

    def watch(self) -> None:
        """Show the progress of the running trials, and what other sweeps have added to the study."""
        if time.monotonic() - self._watched > _POLL_SECONDS:
            self._watched = time.monotonic()
            try:
                self._look()
            except OUTAGES as error:  # threads that need the study wait for it
                log.debug("The study cannot be looked at: %s", error)
        self.board.refresh()

    def _look(self) -> None:
        study = self.trials.study
        trials = study.get_trials(deepcopy=False)
        for trial in trials:
            if trial.state == TrialState.RUNNING and trial.intermediate_values:
                number = int(trial.user_attrs.get(RUN, trial.number))
                self.board.progress(number, trial.intermediate_values[max(trial.intermediate_values)])
        self.board.has_ended = sum(trial.state in ENDED for trial in trials)
        self._see_best()

    def _see_best(self) -> None:
        study = self.trials.study
        finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if len(study.directions) == 1 and finished:
            best = study.best_trial
            assert best.value is not None
            self.board.best = (int(best.user_attrs.get(RUN, best.number)), best.value)

    def _patiently(self, action: Any) -> Any:
        return patiently(action, self.children.stopping)

    def _run(self, trial: Trial, slot: Slot) -> None:
        point = self._patiently(lambda: self.plan.space.suggest(trial))
        job, number = self._job(trial, point), int(trial.user_attrs[RUN])
        self.board.started(number, "  ".join(f"{name}={_short(value)}" for name, value in point.items()))
        try:
            result = self._earlier(job) or run_job(job, slot, self.children)
        except Stopped:
            self._patiently(lambda: self.trials.try_again(trial.number, died=False))
            raise
        state, value, error = self._patiently(lambda: self._record(trial, result))
        self._watched = -math.inf
        self._patiently(self._see_best)
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
                self.trials.tell(trial, None, TrialState.FAIL, "its directory holds another run")
                remedy = "Choose another study with search.study=..."
                raise UserError(f"{directory} holds another run.", remedy, field="search.study")
            shutil.rmtree(directory)  # it had not finished an epoch
        settings = self.plan.settings
        link = TrialLink(
            storage=storage_place(settings, self.plan.directory),
            study=settings.study,
            id=trial._trial_id,
            metrics=dict(settings.objectives),
            pruner=settings.pruner if len(settings.objectives) == 1 else None,
        )
        varied = self.plan.space.overrides(point)
        overrides = (*self.plan.always, *varied, "test=false")
        devices = max(1, self.plan.devices)
        return Job(number, overrides, directory, devices=devices, resume=again, trial=link, varied=varied)

    def _earlier(self, job: Job) -> JobResult | None:
        """The result of a run that had ended already, if only the study's record of it was lost."""
        ended = job.resume and Run(job.directory).info().get("status") in ("done", "pruned")
        return result_of(job) if ended else None

    def _record(self, trial: Trial, result: JobResult) -> tuple[str, float | None, str]:
        """Tell the study how a trial ended. Returns the state, the first objective and the error to show."""
        if result.start_seconds is not None:
            self.trials.note(trial, START, result.start_seconds)
        names = list(self.plan.settings.objectives)
        if result.status == "done":
            values = [result.metrics.get(name, math.nan) for name in names]
            if all(math.isfinite(value) for value in values):
                self.trials.tell(trial, values, TrialState.COMPLETE)
                return "done", values[0], ""
            error = ", ".join(f"{name} is {value}" for name, value in zip(names, values, strict=True))
        elif result.status == "pruned":
            self.trials.tell(trial, None, TrialState.PRUNED)
            return "pruned", None, ""
        elif result.status in ("killed", "interrupted"):
            stopped = self.children.stopping.is_set()
            if self.trials.try_again(trial.number, died=not stopped):
                return "interrupted" if stopped else "killed, will continue", None, ""
            return "failed", None, result.error
        else:
            error = result.error
        self.trials.tell(trial, None, TrialState.FAIL, error)
        return "failed", None, error


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
