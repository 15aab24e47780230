"""How good a row is: its interval is over people, however many images there are of each."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.proportion import proportion_confint

from gender_lightning.comparison.runs.reading import RunResult
from gender_lightning.comparison.scores import Score, resampling_of, scores_of


def accuracy_of_the_flawless(people: int, each: int) -> Score:
    labels = np.arange(people * each) // each % 2
    logit = np.where(labels == 1, 4.0, -4.0) + np.arange(people * each) * 1e-4
    table = pd.DataFrame({
        "image_id": [f"{row}.jpg" for row in range(people * each)], "label": labels, "logit": logit,
        "probability": 1 / (1 + np.exp(-logit)), "identity": pd.array(np.arange(people * each) // each, dtype="Int32"),
    })  # fmt: skip
    run = RunResult(SimpleNamespace(path="x"), "a", {}, {}, (), table, None)  # type: ignore[arg-type]
    return scores_of(SimpleNamespace(runs=[run]), resampling_of(run))["accuracy"]  # type: ignore[arg-type]


def test_all_right_is_as_sure_as_there_are_people() -> None:
    """Formerly 1,700 images of 100 people had .9978 to 1, as if they were of 1,700 people."""
    found = accuracy_of_the_flawless(people=100, each=17)
    assert found.mean == 1 and found.interval.high == 1
    assert found.interval.low == pytest.approx(proportion_confint(100, 100, 0.05, method="beta")[0], abs=0.002)


def test_few_people_have_no_interval() -> None:
    assert np.isnan(accuracy_of_the_flawless(people=8, each=50).interval.low)
