"""A search as a sweep of W&B: the YAML that `wandb sweep` reads, whose agents start ordinary trainings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from gender_lightning.config import WandbLogger
from gender_lightning.errors import UserError
from gender_lightning.sweeps.search.plan import Plan
from gender_lightning.sweeps.search.ranges import Parameter, Value

_METHODS = {"RandomSampler": "random", "GridSampler": "grid"}  # every other one learns from what it has seen
_LOGGED = "images_per_second"  # the objective besides metrics of valid that a run logs
_ETA = 3  # W&B's own default


@dataclass(frozen=True)
class WandbSweep:
    """A sweep for W&B.

    Attributes:
        content: What `wandb sweep` reads.
        notes: Sentences on what the search has and the sweep has not; may be empty.
    """

    content: dict[str, Any]
    notes: tuple[str, ...]


def wandb_sweep(plan: Plan) -> WandbSweep:
    """The sweep for a search.

    W&B knows no conditions: what others depend on keeps its value, and the ranges for other values are left out. It
    has one objective and, to stop runs early, hyperband alone.

    Args:
        plan: The settings and the space of the search.

    Raises:
        UserError: Trainings do not log to W&B, or do not log the objective; or a grid has a continuous range.
    """
    if not isinstance(plan.logger, WandbLogger):
        raise UserError(f"A W&B sweep needs runs in W&B, not logger={plan.logger.name}.", "Use logger=wandb.")
    metric, mode = next(iter(plan.settings.objectives.items()))
    if not metric.startswith("val/") and metric != _LOGGED:
        problem = f"search.metrics: a run does not log {metric}, by which W&B would search."
        raise UserError(problem, "Name a metric of the valid split, such as val/accuracy.", field="search.metrics")
    method = _METHODS.get(str(plan.settings.sampler.get("_target_", "")).rpartition(".")[2], "bayes")
    fixed, kept, dropped = plan.space.without_conditions()
    goal = {"max": "maximize", "min": "minimize"}[mode]
    parameters = {parameter.key: {"value": _plain(parameter, value)} for parameter, value in fixed}
    parameters |= {parameter.key: _range(parameter, method) for parameter in kept}
    content: dict[str, Any] = {
        "name": plan.settings.study,
        "program": "gender_lightning",
        "method": method,
        "metric": {"name": metric, "goal": goal},
        "run_cap": plan.settings.n_trials,
        "parameters": parameters,
        **_stopping(plan.settings.pruner, several=len(plan.settings.metrics) > 1),
        "command": [
            "${env}", "${interpreter}", "-m", "gender_lightning", "train", *plan.always, "test=false",
            "${args_no_hyphens}",
        ],
    }  # fmt: skip
    where = {"project": plan.logger.project, "entity": plan.logger.entity}
    content |= {name: value for name, value in where.items() if value is not None}
    return WandbSweep(content, tuple(_notes(plan, metric, fixed, dropped)))


def _notes(
    plan: Plan, metric: str, fixed: Sequence[tuple[Parameter, Value]], dropped: Sequence[Parameter]
) -> list[str]:
    notes = []
    if fixed:
        values = ", ".join(parameter.text(value) for parameter, value in fixed)
        left_out = f", and these ranges are left out: {', '.join(one.name for one in dropped)}" if dropped else ""
        notes.append(f"W&B has no conditional ranges: {values} for every run{left_out}.")
        choices = " or ".join(_others(fixed))
        notes.append(f"Give another value to get the sweep of its ranges, such as {choices}.")
    if len(plan.settings.metrics) > 1:
        notes.append(f"W&B has one objective: {metric}.")
    if str(plan.settings.pruner.get("_target_", "")).endswith("MedianPruner"):
        notes.append("W&B stops runs early by hyperband only, which stands in for search/pruner=median.")
    return notes


def _others(fixed: Sequence[tuple[Parameter, Value]]) -> list[str]:
    return [
        parameter.text(other) for parameter, value in fixed for other in parameter.corners() if other != value
    ][:3]  # fmt: skip


def _range(parameter: Parameter, method: str) -> dict[str, Any]:
    """The values of a parameter in W&B's words."""
    drawn = parameter.distribution
    listed = isinstance(drawn, CategoricalDistribution) or method == "grid"
    if listed or (isinstance(drawn, FloatDistribution) and drawn.step is not None) or _strides(drawn):
        return {"values": [_plain(parameter, value) for value in parameter.values()]}
    assert isinstance(drawn, FloatDistribution | IntDistribution)
    ends = {"min": drawn.low, "max": drawn.high}
    if isinstance(drawn, IntDistribution):
        return {"distribution": "q_log_uniform_values", "q": 1, **ends} if drawn.log else {
            "distribution": "int_uniform", **ends
        }  # fmt: skip
    return {"distribution": "log_uniform_values" if drawn.log else "uniform", **ends}


def _strides(drawn: Any) -> bool:
    return isinstance(drawn, IntDistribution) and drawn.step != 1


def _plain(parameter: Parameter, value: Value) -> Value:
    """A value as the agent is to type it: Python's name of nothing would be a text for Hydra."""
    if isinstance(value, bool | int | float):
        return value
    return parameter.text(value).partition("=")[2]


def _stopping(pruner: Mapping[str, Any], *, several: bool) -> dict[str, Any]:
    """How runs are stopped early; W&B counts how often the objective was logged, which is once per epoch."""
    name = str(pruner.get("_target_", "")).rpartition(".")[2]
    if name == "NopPruner" or several:
        return {}
    least = int(pruner.get("min_resource", pruner.get("n_warmup_steps", 1)))
    return {
        "early_terminate": {
            "type": "hyperband", "min_iter": max(1, least), "eta": int(pruner.get("reduction_factor", _ETA)),
        }
    }  # fmt: skip
