"""Fairness: values are fairlearn's, intervals cover, the smallest gap that could be shown is shown in four of five."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gender_lightning.errors import UserError
from gender_lightning.evaluation.evaluating import Subject, evaluate_table
from gender_lightning.evaluation.statistics.intervals import Resampling
from gender_lightning.evaluation.subgroups.fairness import (
    Decisions,
    attribute_gaps,
    fairness_table,
    intersections,
    measure_fairness,
    recall_gap,
    worst_group,
)


def decisions(seed: int = 1, persons: int = 200, each: int = 8, weak: float = 0.75) -> Decisions:
    """Women without lipstick are hard; glasses change nothing; three images have a hat."""
    random = np.random.default_rng(seed)
    clusters = np.repeat(np.arange(persons), each)
    male = clusters % 5 < 2
    lipstick = ~male & (random.random(persons)[clusters] < 0.6)
    right = random.random(len(male)) < np.where(~male & ~lipstick, weak, 0.96)
    attributes = {
        "Wearing_Lipstick": lipstick | (male & (random.random(len(male)) < 0.2)),
        "Eyeglasses": random.random(len(male)) < 0.3,
        "Young": random.random(len(male)) < 0.5,
        "Wearing_Hat": np.arange(len(male)) < 3,
        "Pale_Skin": random.random(len(male)) < 0.1,
    }
    return Decisions.of(male, right, clusters, attributes)


def test_gaps_are_fairlearns() -> None:
    oracle = pytest.importorskip("fairlearn.metrics", reason="fairlearn is not installed")
    split = decisions()
    said = np.where(split.right > 0, split.male, ~split.male)
    for gap in attribute_gaps(split, None):
        has = split.attributes[gap.attribute]
        if gap.attribute != "Wearing_Hat":  # no woman wears one
            assert gap.equalized_odds.value == pytest.approx(
                oracle.equalized_odds_difference(split.male, said, sensitive_features=has)
            )
        rates = oracle.MetricFrame(
            metrics={"male": oracle.true_positive_rate, "female": oracle.true_negative_rate},
            y_true=split.male, y_pred=said, sensitive_features=has,
        ).by_group  # fmt: skip
        if gap.judged:
            assert gap.male.value == pytest.approx(rates.loc[True, "male"] - rates.loc[False, "male"])
            assert gap.female.value == pytest.approx(rates.loc[True, "female"] - rates.loc[False, "female"])
    recalls = oracle.MetricFrame(
        metrics=oracle.selection_rate, y_true=split.male, y_pred=split.right > 0, sensitive_features=split.male
    ).by_group
    assert recall_gap(split).value == pytest.approx(recalls[True] - recalls[False])


def test_the_hard_group_is_found_and_an_idle_attribute_is_not_accused() -> None:
    split = decisions()
    found = measure_fairness(split, Resampling(split.clusters), ["Young", "Wearing_Lipstick"])
    gaps = {gap.attribute: gap for gap in found.attributes}
    assert found.attributes[0] is found.largest is gaps["Wearing_Lipstick"]
    assert gaps["Wearing_Lipstick"].female.p_holm < 0.01
    assert gaps["Wearing_Lipstick"].female.low > 0.1 and gaps["Wearing_Lipstick"].female.shown
    assert gaps["Eyeglasses"].female.p_holm > 0.05 and gaps["Eyeglasses"].equalized_odds.low == 0
    assert not gaps["Wearing_Hat"].judged and math.isnan(gaps["Wearing_Hat"].male.low)
    assert found.worst_group is not None and found.worst_group.name == "female Wearing_Lipstick=0"
    assert found.pale_skin == int(split.attributes["Pale_Skin"].sum())
    frame = pd.DataFrame(split.attributes).assign(male=split.male, right=split.right, person=split.clusters)
    cells = frame.groupby(["male", "Young", "Wearing_Lipstick"])["right"].agg(["mean", "size"])
    assert len(found.groups) == 8
    for group in found.groups:
        word, young, lipstick = group.name.split(" ")
        expected = cells.loc[(word == "male", young.endswith("1"), lipstick.endswith("1"))]
        assert group.accuracy.value == pytest.approx(expected["mean"]) and group.images == expected["size"]
    hard = next(group for group in found.groups if group.name == "female Young=0 Wearing_Lipstick=0")
    assert hard.p_holm < 0.05
    by_person = frame[~frame["male"]].groupby("person")["right"].mean().mean()
    assert found.per_person["recall_female"].value == pytest.approx(by_person)


def test_a_slip_of_the_annotators_makes_nobody_count_in_both_classes() -> None:
    split = decisions()
    slip = 2 * 8  # the first image of person 2, a woman
    male, right = split.male.copy(), split.right.copy()
    male[slip], right[slip] = True, 0.0
    found = measure_fairness(Decisions.of(male, right, split.clusters, split.attributes), Resampling(split.clusters))
    frame = pd.DataFrame({"male": split.male, "right": split.right, "person": split.clusters}).drop(slip)
    means = frame.groupby(["male", "person"])["right"].mean().groupby("male").mean()
    assert found.per_person["recall_male"].value == pytest.approx(means[True])
    assert found.per_person["recall_female"].value == pytest.approx(means[False])
    men = [group for group in found.groups if group.name == "male Young=" + str(int(split.attributes["Young"][slip]))]
    rows = split.male & (split.attributes["Young"] == split.attributes["Young"][slip])
    assert men[0].per_person.value == pytest.approx(
        pd.Series(split.right[rows]).groupby(split.clusters[rows]).mean().mean()
    )
    everyone = pd.Series(right).groupby(split.clusters).mean().mean()
    assert found.per_person["accuracy"].value == pytest.approx(everyone)


def test_small_cells_are_neither_tested_nor_the_worst() -> None:
    split = decisions()
    split.right[:3] = 0  # all with a hat are wrong
    worst = worst_group(split)
    assert worst is not None and worst.name == "female Wearing_Lipstick=0"
    cells = intersections(split, Resampling(split.clusters), ["Wearing_Hat"])
    hat = next(cell for cell in cells if cell.name == "male Wearing_Hat=1")
    assert (hat.images, hat.judged, hat.accuracy.value) == (3, False, 0.0) and math.isnan(hat.p_holm)
    nobody = next(cell for cell in cells if cell.name == "female Wearing_Hat=1")
    assert nobody.images == 0 and math.isnan(nobody.accuracy.value)
    frame = fairness_table(measure_fairness(split, Resampling(split.clusters)))
    assert frame["attribute"].tolist()[-1] == "Wearing_Hat" and not frame["judged"].tolist()[-1]


def test_idle_attributes_are_rarely_accused_with_any_of_them() -> None:
    """Family-wise, over all gaps of a split."""
    accused = 0
    for seed in range(25):
        split = decisions(seed, persons=80, weak=0.96)
        resampling = Resampling(split.clusters, seed=seed)
        accused += any(min(gap.male.p_holm, gap.female.p_holm) < 0.05 for gap in attribute_gaps(split, resampling))
    assert accused <= 4  # of 25; one or two are expected


def test_a_gap_of_the_size_that_could_be_shown_is_shown_in_four_of_five() -> None:
    """200 persons; the gap is of the size that an evaluation of another such split called detectable."""
    sizes = [recall_gap(_two_classes(seed, 0.96, 0.96)).detectable for seed in range(20)]
    shown = np.mean([recall_gap(_two_classes(seed, 0.96, 0.96 - np.median(sizes))).shown for seed in range(300)])
    assert 0.7 < shown < 0.95


def _two_classes(seed: int, male: float, female: float) -> Decisions:
    random = np.random.default_rng(seed)
    clusters = np.repeat(np.arange(200), 8)
    labels = clusters % 2 == 0
    chance = random.beta(9 * np.where(labels, male, female), 9 * (1 - np.where(labels, male, female)))
    return Decisions.of(labels, random.random(1600) < chance, clusters, {})


def table(**columns: Any) -> pd.DataFrame:
    random = np.random.default_rng(2)
    labels = (np.arange(600) // 6 % 2).astype(np.int8)
    logits = random.normal(np.where(labels == 1, 2.0, -2.0), 1.3).astype(np.float32)
    fixed = {"image_id": [f"{i}.jpg" for i in range(600)], "label": labels, "logit": logits, "split": "test"}
    fixed |= {"probability": 1 / (1 + np.exp(-logits)), "identity": pd.array(np.arange(600) // 6, dtype="Int32")}
    return pd.DataFrame(fixed | columns)


def test_an_evaluation_has_it_and_names_an_attribute_that_is_not_there() -> None:
    subject = Subject("x", "r", "folder", "test", True, {})
    glasses = np.random.default_rng(3).random(600) < 0.4
    plain = evaluate_table(subject, table(Eyeglasses=glasses), None, groups=["Eyeglasses"], resamples=100)
    assert plain.fairness is not None and len(plain.fairness.groups) == 4 and plain.fairness.pale_skin is None
    flat = plain.flat()
    assert flat["test/recall_gap"] == pytest.approx(plain.fairness.recall_gap.value)
    assert plain.from_dict(plain.to_dict()).to_dict() == plain.to_dict()
    bare = evaluate_table(subject, table(), None, resamples=100)
    assert bare.fairness is not None and bare.fairness.worst_group is None and bare.fairness.attributes == []
    with pytest.raises(UserError, match="no attribute Hats"):
        evaluate_table(subject, table(Eyeglasses=glasses), None, groups=["Hats"], resamples=100)
    old = plain.to_dict()
    del old["fairness"], old["training_data"]
    assert plain.from_dict(old).fairness is None
