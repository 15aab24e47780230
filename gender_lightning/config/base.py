"""The base of all sections: unknown keys are refused, `"two"` is not a number, nothing changes after parsing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1, le=10**9)]
Auto = Literal["auto"]


def matching(pattern: str, wanted: str) -> AfterValidator:
    """A validator that refuses a text that does not match as a whole, and says what is `wanted` without the pattern."""

    def validate(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"it should {wanted}")
        return text

    return AfterValidator(validate)


class Contradictions(ValueError):
    """Fields that contradict each other, raised by a validator with all contradictions at once.

    Args:
        problems: For each contradiction, the problem without its full stop, and the remedy as a sentence.
    """

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(problem for problem, _ in problems))


def refuse(problems: Sequence[tuple[str, str]]) -> None:
    """Raise `Contradictions` if there are any."""
    if problems:
        raise Contradictions(problems)


class Section(BaseModel):
    """One mapping of the config tree."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        protected_namespaces=(),
        populate_by_name=True,
        allow_inf_nan=False,
        defer_build=True,
    )
