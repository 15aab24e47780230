"""Trials of a study that several sweeps may share: who may start one, which have died, which are repeated."""

from __future__ import annotations

import logging
import os
import platform
import random
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from gender_lightning.config import SearchConfig

log = logging.getLogger(__name__)
ENDED = (TrialState.COMPLETE, TrialState.PRUNED)
# user attributes
RUN, OWNER, BEAT, ERROR, RETRIES, EPOCHS, CONTINUED = "run", "owner", "beat", "error", "retries", "epochs", "continued"
START = "start_seconds"


class Trials:
    """The one place that starts and ends trials; safe to call from every slot.

    Finished, pruned and running trials together never exceed `n_trials`, whichever sweep runs them. A claim is
    written first and counted afterwards, and is withdrawn if it was one too many: if several sweeps claim at once, the
    last one to write sees all the others.

    Optuna's own heartbeat needs clocks that agree. Here a sweep keeps changing a value of its running trials; a trial
    whose value has not changed for `grace_seconds`, by the observer's clock, has died.
    """

    def __init__(self, study: Study, storage: BaseStorage, settings: SearchConfig) -> None:
        self.study, self.settings = study, settings
        self._storage = storage
        self._lock = threading.Lock()
        self._mine: set[int] = set()  # ids
        self._seen: dict[int, tuple[Any, float]] = {}  # the last sign of life, and when it was new here
        self._owner = _owner()

    def claim(self) -> Trial | None:
        """A trial to run now; None if all are running or have ended."""
        with self._lock:
            self.bury_dead()
            if self._count(*ENDED, TrialState.RUNNING) >= self.settings.n_trials:
                return None
            trial = self.study.ask()
            if self._count(*ENDED, TrialState.RUNNING) > self.settings.n_trials:
                self._put_back(trial)
                time.sleep(random.uniform(0.05, 0.5))  # so that two sweeps do not collide again
                return None
            self._mine.add(trial._trial_id)
            trial.set_user_attr(OWNER, self._owner)
            if RUN not in trial.user_attrs:
                trial.set_user_attr(RUN, trial.number)
            return trial

    def is_over(self) -> bool:
        """Whether `n_trials` have finished or were pruned."""
        return self._count(*ENDED) >= self.settings.n_trials

    def beat(self) -> None:
        """Record that the trials of this sweep are alive."""
        for trial_id in list(self._mine):
            try:
                self._storage.set_trial_user_attr(trial_id, BEAT, time.time())
            except UpdateFinishedTrialError:  # it was taken for dead, and another sweep has it now
                self._mine.discard(trial_id)

    def note(self, trial: Trial, name: str, value: Any) -> None:
        """Store a value with a trial that has not ended."""
        with suppress(UpdateFinishedTrialError):
            trial.set_user_attr(name, value)

    def tell(self, trial: Trial, values: list[float] | None, state: TrialState, error: str = "") -> None:
        """Record how a trial ended."""
        self._mine.discard(trial._trial_id)
        try:
            if error:
                trial.set_user_attr(ERROR, error[-2000:])
            self.study.tell(trial, values, state, skip_if_finished=True)
        except UpdateFinishedTrialError:
            log.warning("Trial %d was taken for dead and started again: this result does not count.", trial.number)

    def try_again(self, number: int, *, died: bool) -> bool:
        """End a trial and put it at the head of the queue, to continue from its last.ckpt.

        Args:
            number: The number of the trial in the study.
            died: Whether it died, rather than being interrupted. A trial that dies without having completed another
                epoch is repeated at most `max_retries` times.

        Returns:
            Whether it is repeated.
        """
        frozen = self.study.get_trials(deepcopy=False)[number]
        attributes = dict(frozen.user_attrs)
        epochs = max(frozen.intermediate_values, default=0)
        retries = attributes.get(RETRIES, 0) + int(died)
        if epochs > attributes.get(EPOCHS, 0):
            retries = int(died)
        again = bool(retries <= self.settings.max_retries)
        try:
            self._storage.set_trial_user_attr(frozen._trial_id, CONTINUED if again else ERROR, _LOST[again])
            self._storage.set_trial_state_values(frozen._trial_id, state=TrialState.FAIL)
        except UpdateFinishedTrialError:  # another sweep was faster
            return True
        finally:
            self._mine.discard(frozen._trial_id)
        if again:
            for name in (OWNER, BEAT, CONTINUED):
                attributes.pop(name, None)
            self._requeue(frozen, {**attributes, RUN: attributes.get(RUN, number), RETRIES: retries, EPOCHS: epochs})
        return again

    def bury_dead(self) -> None:
        """Repeat the trials that no living sweep is running."""
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if trial._trial_id not in self._mine and self._is_dead(trial):
                log.info("Trial %d has died with its sweep and will continue.", trial.number)
                self.try_again(trial.number, died=True)

    def _count(self, *states: TrialState) -> int:
        return len(self.study.get_trials(deepcopy=False, states=states))

    def _put_back(self, trial: Trial) -> None:
        frozen = self._storage.get_trial(trial._trial_id)
        self._storage.set_trial_user_attr(trial._trial_id, CONTINUED, "one too many")
        self._storage.set_trial_state_values(trial._trial_id, state=TrialState.FAIL)
        if RUN in frozen.user_attrs or {"fixed_params", "grid_id"} & frozen.system_attrs.keys():
            # it came from the queue, or has a point of a grid that no other trial would run
            self._requeue(frozen, frozen.user_attrs)

    def _requeue(self, trial: FrozenTrial, attributes: Mapping[str, Any]) -> None:
        fixed = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
        self.study.add_trial(
            optuna.create_trial(
                state=TrialState.WAITING,
                system_attrs={**trial.system_attrs, "fixed_params": fixed},
                user_attrs=dict(attributes),
                intermediate_values=dict(trial.intermediate_values),
            )
        )

    def _is_dead(self, trial: FrozenTrial) -> bool:
        owner = trial.user_attrs.get(OWNER)
        if owner is not None and _has_died(owner):
            return True
        sign = (owner, trial.user_attrs.get(BEAT), len(trial.intermediate_values))
        before = self._seen.get(trial._trial_id)
        if before is None or before[0] != sign:
            self._seen[trial._trial_id] = (sign, time.monotonic())
            return False
        return time.monotonic() - before[1] > self.settings.grace_seconds


_LOST = {True: "killed; will continue", False: "its process was killed repeatedly without completing another epoch"}


def _owner() -> str:
    """The identity of this process, so that others on the machine can tell when it has died."""
    return f"{_machine()}:{os.getpid()}:{_birth(os.getpid())}"


def _machine() -> str:
    try:
        return f"{platform.node()}:{os.stat('/proc/self/ns/pid').st_ino}"  # containers count their own processes
    except OSError:
        return platform.node()


def _birth(pid: int) -> str:
    """The start time of a process, since process ids are reused; empty if there is no such process, or no /proc."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def _has_died(owner: str) -> bool:
    parts = str(owner).rsplit(":", 2)
    if len(parts) != 3 or not parts[1].isdecimal():  # not written by this program
        return False
    machine, pid, birth = parts
    return machine == _machine() and bool(birth) and _birth(int(pid)) != birth
