"""`conf/search/`: the settings of `train -m search=...`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from gender_lightning.config.base import Contradictions, Count, Positive, Section, matching

Scalar = bool | int | float | str | None
# objectives other than metrics of the valid split: the costs of a run
COSTS = ("seconds", "images_per_second")
GROUP_METRICS = ("val/worst_group_accuracy", "val/group_gap")  # measured where there are groups
_MINIMISED = ("val/loss", "val/group_gap", "seconds")


class Alternative(Section):
    """A range that applies only while other fields have certain values."""

    values: str = Field(description="Hydra's sweep syntax: interval(0.8,0.98)")
    when: dict[str, Scalar] = Field(min_length=1, description="fields or groups with their values: {optimizer: sgd}")


class SearchConfig(Section):
    """A search with Optuna: its space, its objectives, its budget."""

    study: Annotated[str, matching(r"[\w.+-]+", "hold letters, digits and . _ + - only")] = Field(
        description="name of the study: the same command continues it"
    )
    storage: str | None = Field(
        description="path of a journal, or any Optuna URL (postgresql+psycopg://..., sqlite:///...); null: journal.log "
        "beside the sweep"
    )
    metrics: list[str] = Field(
        min_length=1,
        description="metrics of valid, or seconds, images_per_second; several give a Pareto front, without pruning",
    )
    n_trials: Count = Field(description="trials of the study in all, finished or pruned; failed ones do not count")
    max_failures: Count = Field(description="failed trials after which the sweep stops")
    max_retries: Annotated[int, Field(ge=0)] = Field(
        description="repetitions of a trial that is killed before it completes another epoch"
    )
    max_time: Annotated[str, matching(r"(\d\d:){3}\d\d", "be DD:HH:MM:SS, such as 00:08:00:00")] | None = Field(
        description="DD:HH:MM:SS after which no trial is started; null: no limit"
    )
    seed: Annotated[int, Field(ge=0)] | None = Field(description="seed of the sampler; null: none")
    space: dict[str, str | Alternative | list[Alternative]] = Field(
        description="field: Hydra's sweep syntax, or {values: ..., when: {group: choice}}, or a list of these"
    )
    enqueue: list[dict[str, Scalar]] = Field(
        description="points tried first: {} is the recipe as it is, {optimizer.lr: 1.0e-3} the recipe with one change"
    )
    sampler: dict[str, Any] = Field(description="Optuna's sampler by _target_; choose with search/sampler=...")
    pruner: dict[str, Any] = Field(description="Optuna's pruner by _target_; choose with search/pruner=...")
    heartbeat_seconds: Positive = Field(description="interval between two signs of life of a trial, s")
    grace_seconds: Positive = Field(description="silence after which a trial is taken for dead, s")

    @field_validator("metrics")
    @classmethod
    def _of_valid(cls, metrics: list[str]) -> list[str]:
        for name in metrics:
            if name.startswith("test/"):
                problem = f"{name} cannot be an objective, since choices are made on the valid split"
                raise Contradictions([(problem, f"Write val/{name[5:]}.")])
            if not name.startswith("val/") and name not in COSTS:
                remedy = f"Name a metric of the valid split (val/accuracy), or {', '.join(COSTS)}."
                raise Contradictions([(f"{name} cannot be an objective", remedy)])
        return metrics

    @property
    def objectives(self) -> dict[str, Literal["max", "min"]]:
        """The metrics with the direction that is better."""
        return {name: "min" if name in _MINIMISED else "max" for name in self.metrics}

    @property
    def seconds(self) -> float | None:
        """The time limit in seconds."""
        if self.max_time is None:
            return None
        days, hours, minutes, seconds = (int(part) for part in self.max_time.split(":"))
        return ((days * 24 + hours) * 60 + minutes) * 60.0 + seconds
