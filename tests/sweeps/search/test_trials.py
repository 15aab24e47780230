"""Several sweeps share a study: no trial too many, none lost, none for ever."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from gender_lightning.config import SearchConfig
from gender_lightning.overrides import compose
from gender_lightning.sweeps.search import trials as module
from gender_lightning.sweeps.search.storage import open_storage
from gender_lightning.sweeps.search.trials import CONTINUED, OWNER, RETRIES, RUN, Trials


def settings(**changes: Any) -> SearchConfig:
    return SearchConfig.model_validate({**compose("train", ["search=default"])["search"], **changes})


@pytest.fixture(params=["journal", "sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return str(tmp_path / "journal.log") if request.param == "journal" else f"sqlite:///{tmp_path / 'study.db'}"


def sweep(place: str, **changes: Any) -> Trials:
    storage = open_storage(place)
    study = optuna.create_study(study_name="s", storage=storage, load_if_exists=True, direction="maximize")
    return Trials(study, storage, settings(**changes))


def states(trials: Trials) -> list[TrialState]:
    return [trial.state for trial in trials.study.get_trials()]


def failures(trials: Trials) -> list[optuna.trial.FrozenTrial]:
    """Those that failed for a reason of their own."""
    failed = trials.study.get_trials(states=(TrialState.FAIL,))
    return [trial for trial in failed if CONTINUED not in trial.user_attrs]


def test_two_sweeps_never_hand_out_too_many(place: str) -> None:
    sweeps = [sweep(place, n_trials=6) for _ in range(2)]

    def work(trials: Trials) -> int:
        taken = 0
        for _ in range(200):
            if trials.is_over():
                break
            if (trial := trials.claim()) is not None:
                assert sum(state == TrialState.RUNNING for state in states(trials)) <= 6
                trials.tell(trial, [0.5], TrialState.COMPLETE)
                taken += 1
        return taken

    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(work, [*sweeps, *sweeps]))
    assert sum(taken) == 6 and states(sweeps[0]).count(TrialState.COMPLETE) == 6
    assert TrialState.RUNNING not in states(sweeps[0])


def test_failed_trials_do_not_count(place: str) -> None:
    trials = sweep(place, n_trials=1)
    trial = trials.claim()
    assert trial is not None and trials.claim() is None
    trials.tell(trial, None, TrialState.FAIL, "out of memory")
    assert not trials.is_over() and [trial.user_attrs["error"] for trial in failures(trials)] == ["out of memory"]
    trial = trials.claim()
    assert trial is not None
    trials.tell(trial, None, TrialState.PRUNED)
    assert trials.is_over()


def test_an_interrupted_trial_goes_on_with_its_parameters(place: str) -> None:
    trials = sweep(place, n_trials=1)
    first = trials.claim()
    assert first is not None
    value = first.suggest_float("x", 0, 1)
    first.report(0.25, 1)
    assert trials.try_again(first.number, died=False)
    second = trials.claim()
    assert second is not None and second.number != first.number
    assert second.user_attrs[RUN] == first.number and second.user_attrs[RETRIES] == 0
    assert second.suggest_float("x", 0, 1) == value
    assert trials.study.get_trials()[second.number].intermediate_values == {1: 0.25}
    assert not failures(trials) and CONTINUED in trials.study.get_trials()[first.number].user_attrs


def test_dying_again_and_again_is_failing(place: str) -> None:
    trials = sweep(place, n_trials=1, max_retries=2)
    outcomes = []
    for _ in range(3):
        trial = trials.claim()
        assert trial is not None
        trial.suggest_float("x", 0, 1)
        outcomes.append(trials.try_again(trial.number, died=True))
    assert outcomes == [True, True, False] and len(failures(trials)) == 1


def test_getting_further_forgives_deaths(place: str) -> None:
    trials = sweep(place, n_trials=1, max_retries=1)
    for epoch in range(1, 6):
        trial = trials.claim()
        assert trial is not None
        trial.report(0.5, epoch)
        assert trials.try_again(trial.number, died=True)


def test_a_trial_of_a_dead_sweep_is_found_at_once(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    dead = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with monkeypatch.context() as patch:
        patch.setattr(module.os, "getpid", lambda: dead.pid)
        other = sweep(place, n_trials=1)
    trial = other.claim()
    assert trial is not None
    trials = sweep(place, n_trials=1)
    assert trials.claim() is None  # it lives
    dead.communicate(b"\n")
    again = trials.claim()
    assert again is not None and again.user_attrs[RUN] == trial.number
    other.beat()  # it was only stopped for long, and learns that its trial is another's
    other.tell(trial, [1.0], TrialState.COMPLETE)
    assert trials.study.get_trials()[trial.number].state == TrialState.FAIL


def test_a_trial_of_another_machine_is_dead_when_its_heart_stops(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    other, trials = sweep(place, n_trials=1), sweep(place, n_trials=1, grace_seconds=50)
    trial = other.claim()
    assert trial is not None
    trial.set_user_attr(OWNER, "elsewhere:1:2:3")
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    for now[0] in (0.0, 40.0, 80.0, 120.0):
        assert trials.claim() is None
        other.beat()
    now[0] = 121.0
    assert trials.claim() is None
    now[0] = 172.0
    assert trials.claim() is not None


def test_every_point_of_a_grid_once_however_many_sweeps(place: str) -> None:
    points = [1, 2, 3, 4, 5, 6]
    sweeps = [sweep(place, n_trials=len(points)) for _ in range(2)]
    for trials in sweeps:
        trials.study.sampler = optuna.samplers.GridSampler({"x": points})
        trials.study.stop = lambda: None  # type: ignore[method-assign]

    def work(trials: Trials) -> None:
        for _ in range(200):
            if trials.is_over():
                break
            if (trial := trials.claim()) is not None:
                trial.suggest_int("x", 1, 6)
                trials.tell(trial, [0.5], TrialState.COMPLETE)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, sweeps))
    done = [trial.params["x"] for trial in sweeps[0].study.get_trials() if trial.state == TrialState.COMPLETE]
    assert sorted(done) == points
