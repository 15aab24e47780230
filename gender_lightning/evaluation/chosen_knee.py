"""The knee of valid on another split, as an evaluation reports it."""

from __future__ import annotations

from dataclasses import dataclass

from gender_lightning.evaluation.measure import Measure, Number


@dataclass(frozen=True)
class ChosenKnee:
    """The knee that was found on valid, and what it does on the split that is evaluated.

    Attributes:
        min_confidence: Decide from here on.
        valid_coverage: Share of valid that is decided, every person counting once.
        valid_risk: Share of wrong decisions among those.
        valid_risk_of_all: Share of wrong decisions if nothing is left out.
        curve_coverage: (P,), coverage of the curve of valid.
        curve_risk: (P,), its risk.
        coverage: Share of this split that is decided.
        accuracy: Accuracy on what is decided of this split.
    """

    min_confidence: float
    valid_coverage: float
    valid_risk: float
    valid_risk_of_all: float
    curve_coverage: list[float]
    curve_risk: list[float]
    coverage: Number
    accuracy: Measure
