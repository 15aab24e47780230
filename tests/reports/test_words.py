"""The verdict in sentences: it does not seem to contradict the other places that name a worst group."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pandas as pd

from gender_lightning.commands.steps.evaluation_report import sentences
from gender_lightning.evaluation.evaluating import Subject, evaluate_table
from gender_lightning.evaluation.measure import Measure
from gender_lightning.evaluation.results import ChosenAbstention, Evaluation
from gender_lightning.reports.fairness_words import fairness_sentences
from gender_lightning.reports.model_card import model_card
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


def folder(
    *, images: int, women_right: float, women: float = 0.5, men_right: float = 1.0, dark: float = 1.0
) -> Evaluation:
    """A folder without persons and attributes; of the darkest fifth only some are right."""
    labels = (np.arange(images) >= round(women * images)).astype(np.int8)
    right = np.ones(images, dtype=np.bool_)
    darkness = np.arange(images) % 5
    for label, share in ((0, women_right), (1, men_right)):
        rows = np.flatnonzero(labels == label)
        right[rows[round(share * len(rows)) :]] = False
    rows = np.flatnonzero(darkness == 0)
    right[rows[round(dark * len(rows)) :]] = False
    logits = np.where(labels == 1, 3.0, -3.0) * np.where(right, 1, -1)
    table = pd.DataFrame({
        "image_id": [f"{row:06d}.jpg" for row in range(images)], "split": "test", "label": labels,
        "logit": logits.astype(np.float32), "probability": (1 / (1 + np.exp(-logits))).astype(np.float32),
        "identity": pd.array([None] * images, dtype="Int32"), "brightness": darkness + np.arange(images) / 1e6,
    })  # fmt: skip
    return evaluate_table(Subject("runs/a", "a", "folder", "test", False, {}), table, None, resamples=100, seed=0)


def test_where_a_class_fails_most_the_next_sentence_agrees() -> None:
    """After `20.0 % of the women` stood `There are too few images to say where it fails`."""
    tiny = verdict(folder(images=40, women_right=0.2))
    assert tiny[0].endswith("100.0\u202f% of the men and 20.0\u202f% of the women.")
    assert tiny[1] == (
        "It fails more often on women, beyond chance; no subgroup has the 50 images that it takes to judge one."
    )
    large = verdict(folder(images=1000, women_right=0.2))[1]
    assert large.startswith("It fails more often on women, beyond chance; of the subgroups it does worst on ")
    dark = verdict(folder(images=1000, women_right=0.99, dark=0.2))[1]
    assert dark.startswith("It does worst, beyond chance, on dark pictures, 20.0\u202f% of 200 images")


def test_of_few_images_and_of_one_class_no_more_is_said_than_is_known() -> None:
    assert "It fails more often on women, which may be chance; no" in verdict(folder(images=8, women_right=0.75))[1]
    assert "It fails on men and women equally often; no subgroup" in verdict(folder(images=40, women_right=1))[1]
    bare = replace(folder(images=40, women_right=0.2), slices=[])
    assert verdict(bare)[1].endswith("beyond chance; these data have no subgroups to look at.")
    one = folder(images=40, women_right=0.2)
    metrics = one.metrics | {"recall_male": replace(one.metrics["recall_male"], value=float("nan"))}
    assert verdict(replace(one, metrics=metrics))[1].startswith(
        "All images are of women, so that nothing is known of men; no subgroup"
    )
    for found in (folder(images=8, women_right=0.75), one):
        assert not any("nan" in sentence for sentence in [*verdict(found), *sentences(found)])


def test_a_confidence_of_valid_at_which_nothing_is_decided_reads_as_words() -> None:
    """Formerly `accuracy nan (nan to nan)`."""
    found = folder(images=400, women_right=0.9)
    nothing = Measure(math.nan, math.nan, math.nan)
    none = ChosenAbstention(0.99, 0.05, 0.999, 300, 0.4, 0.0, 0.0, 0.0, nothing)
    some = replace(none, coverage=0.5, coverage_male=0.4, coverage_female=0.6, accuracy=Measure(0.98, 0.94, 0.995))
    for chosen, words in (
        (none, "it decides none of these images"),
        (some, "gets 98.0\u202f% (94.0 to 99.5) of those"),
    ):
        one = replace(found, selective=replace(found.selective, guaranteed=[chosen]))
        told = [*verdict(one), *sentences(one)]
        assert "below the confidence that was chosen on valid for 99" in told[2] and words in told[2]
        card = model_card(one, {}, {})
        assert not re.search(r"\bnan\b", " ".join(told) + card)


def test_an_auroc_of_one_without_an_interval_says_why() -> None:
    found = folder(images=200, women_right=1.0)
    assert found.metrics["auroc"].value == 1 and math.isnan(found.metrics["auroc"].low)
    assert "nor where nothing varies, as for an AUROC of 1" in model_card(found, {}, {})
