"""The study of a search: made or found again, with its sampler and its pruner."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.study import Study, StudyDirection

from gender_lightning import building
from gender_lightning.config import SearchConfig
from gender_lightning.config.search import GROUP_METRICS
from gender_lightning.errors import UserError
from gender_lightning.evaluation.metrics import training_metrics
from gender_lightning.evaluation.subgroups.group_metrics import is_group_metric
from gender_lightning.sweeps.search.space import Space

SEARCHED = "searched"
_GRID = "optuna.samplers.GridSampler"
_CMAES = "optuna.samplers.CmaEsSampler"


def storage_place(settings: SearchConfig, directory: Path) -> str:
    """Where the study is kept: a URL, or the path of a journal."""
    return settings.storage or str(directory / "journal.log")


def checked(settings: SearchConfig, space: Space) -> SearchConfig:
    """Check the settings against the space, and limit the number of trials to the points of a grid.

    Raises:
        UserError: The objective is not measured, or the sampler or the pruner is not available.
    """
    names = [f"val/{name}" for name in training_metrics()]
    for name in settings.metrics:
        if name.startswith("val/") and name not in names and not is_group_metric(name):
            problem = f"search.metrics: {name} is not measured."
            offer = ", ".join([*names, *GROUP_METRICS])
            raise UserError(problem, f"Choose one of: {offer}.", field="search.metrics")
    for point in settings.enqueue:
        space.known_good(point)
    building.check(settings.pruner, building.PRUNER)
    building.resolve(settings.sampler, building.SAMPLER)
    if settings.sampler["_target_"] == _CMAES and importlib.util.find_spec("cmaes") is None:
        remedy = "Install it, or choose search/sampler=tpe."
        raise UserError("search/sampler=cmaes needs the package cmaes.", remedy, field="search/sampler")
    if settings.sampler["_target_"] != _GRID:
        return settings
    points = math.prod(len(values) for values in space.grid().values())
    return settings.model_copy(update={"n_trials": min(points, settings.n_trials), "enqueue": []})


def open_study(
    settings: SearchConfig, storage: BaseStorage, space: Space, fixed: Sequence[str], directory: Path
) -> Study:
    """Make the study and queue the known-good points, or find it again.

    Raises:
        UserError: A study of that name searched something else, or the directory holds another sweep.
    """
    directions = [getattr(StudyDirection, f"{mode.upper()}IMIZE") for mode in settings.objectives.values()]
    searched = {"metrics": dict(settings.objectives), "space": space.describe(), "fixed": sorted(fixed)}
    try:
        study = optuna.create_study(study_name=settings.study, storage=storage, directions=directions)
    except (
        LookupError,
        AttributeError,
        TypeError,
        AssertionError,
        ValueError,
    ) as error:
        raise UserError(
            f"The record of the study {settings.study} in {storage_place(settings, directory)} is damaged "
            f"({type(error).__name__}).",
            "Choose another with search.study=NAME.",
            field="search.study",
        ) from error
    except optuna.exceptions.DuplicatedStudyError:
        study = optuna.load_study(study_name=settings.study, storage=storage)
        _compare(study.user_attrs.get(SEARCHED, searched), searched, settings.study)
    else:
        if any((directory / "0").glob("run.json")):
            remedy = "Choose another with search.study=... or name=..."
            raise UserError(f"{directory} holds another sweep.", remedy, field="search.study")
        for point in settings.enqueue:
            study.enqueue_trial(space.known_good(point), skip_if_exists=True)
        study.set_user_attr(SEARCHED, searched)
    study.sampler = _sampler(settings, space, len(study.trials))
    # GridSampler stops the study when it is through, which is allowed only within Study.optimize; n_trials does it
    study.stop = lambda: None  # type: ignore[method-assign]
    return study


def _compare(before: dict[str, Any], now: dict[str, Any], name: str) -> None:
    for what in ("metrics", "space", "fixed"):
        if before[what] == now[what]:
            continue
        old, new = _listed(before[what]), _listed(now[what])
        changes = [f"not {entry}" for entry in new if entry not in old]
        changes += [f"but {entry}" for entry in old if entry not in new]
        raise UserError(
            f"The study {name} searched something else ({'; '.join(changes) or 'in another order'}).",
            "Repeat the command as it was, or start another study with search.study=NAME.",
            field="search.study",
        )


def _listed(part: list[str] | dict[str, str]) -> list[str]:
    return part if isinstance(part, list) else [f"{name}: {mode}" for name, mode in part.items()]


def _sampler(settings: SearchConfig, space: Space, trials: int) -> optuna.samplers.BaseSampler:
    runtime: dict[str, Any] = {}
    if settings.sampler["_target_"] == _GRID:
        runtime["search_space"] = space.grid()
    if settings.seed is not None and building.accepts(settings.sampler, building.SAMPLER, "seed"):
        runtime["seed"] = settings.seed + trials  # otherwise a continued search would draw its first points again
    sampler = building.build(settings.sampler, building.SAMPLER, **runtime)
    assert isinstance(sampler, optuna.samplers.BaseSampler)
    return sampler
