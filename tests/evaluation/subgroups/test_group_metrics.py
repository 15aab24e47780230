"""Accuracy of groups, against a count by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gender_lightning.evaluation.subgroups.group_metrics import (
    described,
    group_metric_names,
    group_metrics,
    group_sizes,
    is_group_metric,
    key_of,
)

NAMES = ("female with Hat", "female without Hat", "male", "male rest")
LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 0])
LOGITS = np.array([-1.0, 2.0, -3.0, -0.1, 0.0, 1.0, -2.0, 4.0])
GROUPS = np.array([0, 0, 1, 1, 2, 2, 2, 0])


def test_each_group_the_worst_and_the_gap() -> None:
    found = group_metrics(LABELS, LOGITS, GROUPS, NAMES)
    expected = {"accuracy_female_with_Hat": 1 / 3, "accuracy_female_without_Hat": 1.0, "accuracy_male": 2 / 3}
    assert found == pytest.approx(expected | {"worst_group_accuracy": 1 / 3, "group_gap": 2 / 3})
    assert {*found} < {*group_metric_names(NAMES)}, "a group without images has no accuracy"
    assert group_sizes(GROUPS, NAMES) == {
        "images_female_with_Hat": 3, "images_female_without_Hat": 2, "images_male": 3,
    }  # fmt: skip
    assert described(found | group_sizes(GROUPS, NAMES), NAMES) == (
        "female with Hat 0.3333 (n = 3), female without Hat 1.0000 (n = 2), male 0.6667 (n = 3)"
    )


def test_a_training_that_has_diverged_has_no_worst_group() -> None:
    logits = LOGITS.copy()
    logits[0] = math.nan
    assert all(math.isnan(value) for value in group_metrics(LABELS, logits, GROUPS, NAMES).values())


def test_names_are_those_of_metrics() -> None:
    assert key_of("male with skin tone=V") == "male_with_skin_tone_V"
    assert all(is_group_metric(f"val/{name}") for name in group_metric_names(NAMES))
    assert not any(is_group_metric(name) for name in ("val/accuracy", "val/loss", "seconds"))
