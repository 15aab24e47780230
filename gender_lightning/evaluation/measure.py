"""A number with its interval, and how both are written for people."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from pydantic import BeforeValidator

# JSON has no nan: it is written as null
Number = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]
UNKNOWN = "\N{EN DASH}"


@dataclass(frozen=True)
class Measure:
    """A number and how sure it is; nan where it is not defined.

    Attributes:
        value: On the images as they are.
        low: Lower end of the interval over persons (over images where identities are unknown); nan with fewer than ten
            of them.
        high: Upper end.
        wilson_low: Lower end of Wilson's interval, which takes images as independent; nan for what is not a proportion.
        wilson_high: Upper end.
    """

    value: Number
    low: Number
    high: Number
    wilson_low: Number = math.nan
    wilson_high: Number = math.nan

    def __str__(self) -> str:
        return self.text()

    def text(self, digits: int = 4) -> str:
        """`0.9432 (0.9290 to 0.9551)`; without brackets where there is no interval, a dash where there is no value."""
        ends = self.ends(digits)
        return f"{decimal(self.value, digits)} ({ends})" if ends else decimal(self.value, digits)

    def times(self, factor: float) -> Measure:
        """The same in another unit, such as percentage points; `factor` is positive."""
        return Measure(*(factor * number for number in (self.value, self.low, self.high)))

    def ends(self, digits: int = 4, scale: float = 1.0) -> str:
        """`0.9290 to 0.9551`, each end times `scale`; empty where there is no interval."""
        if math.isnan(self.value) or math.isnan(self.low) or math.isnan(self.high):
            return ""
        return f"{scale * self.low:.{digits}f} to {scale * self.high:.{digits}f}"


def decimal(value: float | None, digits: int = 4) -> str:
    """A number with its decimals; None and nan become a dash."""
    return UNKNOWN if value is None or math.isnan(value) else f"{value:,.{digits}f}"
