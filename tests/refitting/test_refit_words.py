"""The words of a refit agree with the interval beside them."""

from __future__ import annotations

import pytest

from gender_lightning.evaluation.measure import Measure
from gender_lightning.refitting.judging import BeforeAfter
from gender_lightning.refitting.result import _change


@pytest.mark.parametrize(
    ("low", "p", "said"),
    [
        (0.002, 0.01, "points, 0.2 to 5.0; beyond chance)"),
        (-0.002, 0.01, "points, -0.2 to 5.0; no more than chance)"),
        (0.002, 0.06, "no more than chance: the interval leaves out 0, but the test of the resamples, p = 0.06, does"),
    ],
)
def test_an_interval_and_what_is_said_of_it_agree(low: float, p: float, said: str) -> None:
    unknown = float("nan")
    before, after = (Measure(value, unknown, unknown) for value in (0.80, 0.82))
    row = BeforeAfter("worst_group", 90, 40, before, after, Measure(0.02, low, 0.05), p)
    assert row.surely == (low > 0 and p < 0.05)
    assert said in _change(row)
