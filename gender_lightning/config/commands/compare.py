"""What `conf/compare.yaml` composes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from gender_lightning.config.base import Count, Positive, Section


def _as_list(value: Any) -> Any:
    """One path may stand without brackets, and a job of a sweep is named by a number."""
    items = value if isinstance(value, list) else [value]
    texts = [str(item) if isinstance(item, int) and not isinstance(item, bool) else item for item in items]
    if not texts:
        raise ValueError("it should name runs: runs=[A,B], the directory of a sweep, or a glob in quotes")
    return texts


class Speed(Section):
    """How inference is measured on this machine."""

    measure: bool = Field(description="false leaves the column out")
    batch_size: Count
    seconds: Positive = Field(description="of one measurement, at least")
    repeats: Count = Field(description="measurements of each network, in turns; their median counts")


class CompareConfig(Section):
    """`conf/compare.yaml`."""

    runs: Annotated[list[Annotated[str, Field(min_length=1)]], BeforeValidator(_as_list)]
    output: str = Field(min_length=1)
    split: Literal["auto", "test", "valid"]
    evaluation: str | None = Field(description="compare on <run>/evaluation/NAME instead of on the run's own data")
    images: Literal["same", "common"]
    accelerator: Literal["auto", "cpu", "gpu", "mps"]
    speed: Speed
