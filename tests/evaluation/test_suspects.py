"""Confident learning finds labels that were turned, and follows its definition."""

from __future__ import annotations

import numpy as np
import pandas as pd

from gender_lightning.evaluation.suspects import COLUMNS, suspect_rows, suspects_table


def draw(seed: int = 1, n: int = 1000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(true labels, given labels of which 5 % are turned, probabilities)."""
    generator = np.random.default_rng(seed)
    truth = (generator.random(n) < 0.4).astype(int)
    probability = 1 / (1 + np.exp(-generator.normal(np.where(truth == 1, 3.0, -3.0), 1.5)))
    return truth, np.where(generator.random(n) < 0.05, 1 - truth, truth), probability


def test_the_definition_image_by_image() -> None:
    _, labels, male = draw()
    both = np.stack([1 - male, male], axis=1)
    bars = [both[labels == c, c].mean() for c in (0, 1)]
    expected = set()
    for i, row in enumerate(both):
        confident = [c for c in (0, 1) if row[c] >= bars[c]]
        if confident and max(confident, key=lambda c: row[c]) != labels[i]:
            expected.add(i)
    rows = suspect_rows(labels, male)
    assert set(rows.tolist()) == expected
    own = both[rows, labels[rows]]
    assert (np.diff(own) >= 0).all()


def test_most_turned_labels_are_found() -> None:
    truth, labels, male = draw()
    rows, turned = suspect_rows(labels, male), np.flatnonzero(truth != labels)
    assert len(np.intersect1d(rows, turned)) > 0.6 * len(turned)
    assert len(np.intersect1d(rows, turned)) > 0.6 * len(rows)


def test_no_suspects_without_two_classes() -> None:
    assert len(suspect_rows(np.ones(5), np.linspace(0, 1, 5))) == 0


def test_the_table_holds_ids_and_no_more() -> None:
    _, labels, male = draw(n=200)
    frame = pd.DataFrame({"image_id": [f"{i}.jpg" for i in range(200)], "label": labels, "probability": male})
    table = suspects_table(frame)
    assert tuple(table.columns) == COLUMNS and len(table)
    first = table.iloc[0]
    assert {first["label"], first["suggested"]} == {"male", "female"}
    expected = first["probability"] if first["label"] == "male" else 1 - first["probability"]
    assert abs(first["label_probability"] - expected) < 1e-5
