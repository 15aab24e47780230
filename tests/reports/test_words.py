"""The verdict in sentences: it does not seem to contradict the other places that name a worst group."""

from __future__ import annotations

import numpy as np
import pandas as pd

from gender_lightning.commands.steps.evaluation_report import sentences
from gender_lightning.evaluation.evaluating import Subject, evaluate_table
from gender_lightning.evaluation.results import Evaluation
from gender_lightning.reports.fairness_words import fairness_sentences
from gender_lightning.reports.words import verdict


def evaluated(wrong_without_make_up: float) -> Evaluation:
    """Half of 200 people are women, of whom 40 wear no make-up and 10 others a hat (13 of their 60 images wrong)."""
    person = np.repeat(np.arange(200), 6)
    image = np.tile(np.arange(6), 200)
    women = person < 100
    plain, hat = person < 40, (person >= 40) & (person < 50)
    errors = plain & (image < 1) & (person < 40 * wrong_without_make_up)
    errors |= hat & (((person % 10 < 4) & (image < 3)) | (image < 1) & (person % 10 == 9))
    labels = (~women).astype(np.int8)
    logits = np.where(labels == 1, 3.0, -3.0) * np.where(errors, -1, 1)
    table = pd.DataFrame({
        "image_id": [f"{row:06d}.jpg" for row in range(len(person))], "split": "test", "label": labels,
        "logit": logits.astype(np.float32), "probability": (1 / (1 + np.exp(-logits))).astype(np.float32),
        "identity": pd.array(person, dtype="Int32"), "Heavy_Makeup": women & ~plain, "Wearing_Hat": hat,
    })  # fmt: skip
    return evaluate_table(Subject("runs/a", "a", "celeba", "test", False, {}), table, None, resamples=300, seed=0)


def test_the_lowest_group_is_told_from_the_worst_beyond_chance() -> None:
    found = evaluated(1.0)
    assert found.worst_slice is not None and found.worst_slice.significant
    assert found.slice(found.worst_slice.name).words == "women without heavy make-up"
    assert "It does worst, beyond chance, on women without heavy make-up" in verdict(found)[1]
    assert any(
        line.startswith("Worst subgroup beyond chance: women without heavy make-up") for line in sentences(found)
    )
    assert found.fairness is not None
    said = " ".join(fairness_sentences(found.fairness))
    assert "The lowest of all groups of label and one attribute, beyond chance or not: women with a hat, 78.3" in said


def test_where_nothing_is_beyond_chance_the_lowest_is_named_as_such() -> None:
    found = evaluated(0.0)
    assert found.worst_slice is not None and not found.worst_slice.significant
    assert "beyond chance" not in verdict(found)[1] and "which may be chance in the lowest of" in verdict(found)[1]
    assert any(line.startswith("Worst subgroup: ") and "which may be chance" in line for line in sentences(found))
