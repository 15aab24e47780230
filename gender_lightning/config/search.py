"""`conf/search/`: what `train -m search=...` searches, and how."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from gender_lightning.config.base import Count, Positive, Section, matching

Scalar = bool | int | float | str | None
# besides the metrics of valid: what a run costs
COSTS = ("seconds", "images_per_second")
_MINIMISED = ("val/loss", "seconds")


class Alternative(Section):
    """A range that counts only while other fields have certain values."""

    values: str = Field(description="Hydra's sweep syntax: interval(0.8,0.98)")
    when: dict[str, Scalar] = Field(min_length=1, description="field or group: its value, such as {optimizer: sgd}")


class SearchConfig(Section):
    """A search: its space, its objectives, its budget."""

    study: Annotated[str, matching(r"[\w.+-]+", "hold letters, digits and . _ + - only")]
    storage: str | None = Field(description="URL of a database, or path of a journal; null: beside the sweep")
    metrics: list[str] = Field(min_length=1, description="one objective, or several")
    n_trials: Count = Field(description="of the study in all: finished or pruned")
    max_failures: Count = Field(description="trials that may fail before the sweep stops")
    max_retries: Annotated[int, Field(ge=0)] = Field(description="of a trial that was killed without getting further")
    max_time: Annotated[str, matching(r"(\d\d:){3}\d\d", "be DD:HH:MM:SS, such as 00:08:00:00")] | None
    seed: Annotated[int, Field(ge=0)] | None = Field(description="of the sampler")
    space: dict[str, str | Alternative | list[Alternative]]
    enqueue: list[dict[str, Scalar]] = Field(description="tried first; a field that is not named is the recipe's")
    sampler: dict[str, Any]
    pruner: dict[str, Any]
    heartbeat_seconds: Positive
    grace_seconds: Positive = Field(description="a trial is taken for dead when it gave no sign for so long")

    @field_validator("metrics")
    @classmethod
    def _of_valid(cls, metrics: list[str]) -> list[str]:
        for name in metrics:
            if name.startswith("test/"):
                raise ValueError(f"{name} is out of sight: choices are made on valid. Write val/{name[5:]}")
            if not name.startswith("val/") and name not in COSTS:
                raise ValueError(f"{name} is no objective: name a metric of valid (val/accuracy) or {', '.join(COSTS)}")
        return metrics

    @property
    def objectives(self) -> dict[str, Literal["max", "min"]]:
        """The metrics with the way that is better."""
        return {name: "min" if name in _MINIMISED else "max" for name in self.metrics}

    @property
    def seconds(self) -> float | None:
        """The time limit in seconds."""
        if self.max_time is None:
            return None
        days, hours, minutes, seconds = (int(part) for part in self.max_time.split(":"))
        return ((days * 24 + hours) * 60 + minutes) * 60.0 + seconds
