"""Figures with and without doubtful labels, against scikit-learn's accuracy."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score, recall_score

from gender_lightning.evaluation.doubtful import without_doubtful


def test_the_second_figure_is_that_of_the_rest() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(rng.integers(0, 2, 50), 4).astype(np.int8)
    labels[[0, 40]] = 1 - labels[[0, 40]]  # two of four images each: one against three
    probability = np.clip(labels * 0.6 + 0.2 + rng.normal(0, 0.25, 200), 0, 1)
    persons = pd.array(np.arange(200) // 4, dtype="Int32")
    table = pd.DataFrame({"label": labels, "probability": probability, "identity": persons})
    wrong = np.zeros(200, dtype=bool)
    wrong[[5, 40]] = True
    numbers, sentence = without_doubtful(table, wrong)
    rest = np.setdiff1d(np.arange(200), [0, 5, 40])
    decided = probability[rest] >= 0.5
    assert numbers["doubtful_labels"] == 3
    assert np.isclose(numbers["accuracy_without_doubtful_labels"], accuracy_score(labels[rest], decided))
    assert np.isclose(numbers["recall_male_without_doubtful_labels"], recall_score(labels[rest], decided))
    assert "Without the 3 doubtful labels (1 contradict" in sentence and "2 were called wrong" in sentence
    assert f"with them {accuracy_score(labels, probability >= 0.5):.4f}" in sentence


def test_nothing_is_said_where_nothing_is_doubtful() -> None:
    unknown = pd.array([None, None], dtype="Int32")
    table = pd.DataFrame({"label": [0, 1], "probability": [0.1, 0.2], "identity": unknown})
    assert without_doubtful(table, np.zeros(2, dtype=bool)) == ({}, "")
