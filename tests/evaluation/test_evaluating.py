"""All numbers of a table: slices that are worse are found, small ones are marked, everything survives JSON."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as oracle

from gender_lightning.errors import UserError
from gender_lightning.evaluation.evaluating import Subject, evaluate_table
from gender_lightning.evaluation.results import Evaluation
from gender_lightning.evaluation.subgroups.slices import slices_table
from gender_lightning.reports.model_card import model_card


def table(seed: int = 1, n: int = 1500, **changes: Any) -> pd.DataFrame:
    """Bearded females are hard; two images wear a hat; glasses and brightness change nothing."""
    generator = np.random.default_rng(seed)
    identity = np.arange(n) // 6
    labels = (identity % 5 < 2).astype(np.int8)
    lipstick = (labels == 0) & (generator.random(n) < 0.7)
    effort = np.where((labels == 0) & ~lipstick, 0.6, 3.0)
    logits = generator.normal(np.where(labels == 1, 3.0, -effort), 1.4).astype(np.float32)
    columns = {
        "image_id": [f"{i:06d}.jpg" for i in range(n)],
        "split": "test",
        "label": labels,
        "logit": logits,
        "probability": 1 / (1 + np.exp(-logits)),
        "identity": pd.array(identity, dtype="Int32"),
        "Eyeglasses": generator.random(n) < 0.3,
        "Wearing_Lipstick": lipstick,
        "Wearing_Hat": np.arange(n) < 2,
        "brightness": generator.random(n).astype(np.float32),
    }
    return pd.DataFrame(columns | changes)


def subject(**changes: Any) -> Subject:
    fields = {"checkpoint": "x", "run": "r", "data": "celeba", "split": "test", "own_data": True, "model": {}}
    return Subject(**{**fields, "temperature": 1.5, "threshold": 0.4, **changes})


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return evaluate_table(subject(), table(), table(seed=2), resamples=400)


def test_numbers_are_scikit_learns(evaluation: Evaluation) -> None:
    frame = table()
    probability = 1 / (1 + np.exp(-frame["logit"].astype(float) / 1.5))
    at = {0.5: evaluation.metrics, 0.4: evaluation.metrics_at_threshold}
    for threshold, found in at.items():
        assert found["accuracy"].value == pytest.approx(oracle.accuracy_score(frame["label"], probability >= threshold))
    assert evaluation.metrics["auroc"].value == pytest.approx(oracle.roc_auc_score(frame["label"], frame["logit"]))
    assert evaluation.calibration.loss.value == pytest.approx(oracle.log_loss(frame["label"], probability))
    for measure in (*evaluation.metrics.values(), evaluation.calibration.brier):
        assert measure.low < measure.value < measure.high


def test_the_worst_slice_is_the_hard_one_and_not_the_smallest(evaluation: Evaluation) -> None:
    assert evaluation.worst_slice is not None
    assert evaluation.worst_slice.name == "female Wearing_Lipstick=0" and evaluation.worst_slice.significant
    worst = evaluation.slice("female Wearing_Lipstick=0")
    assert worst.rest == "other females" and worst.group == "likeness" and math.isnan(worst.recall_male.value)
    assert worst.difference.high < 0 and worst.p_holm < 0.01
    assert evaluation.slice("Eyeglasses=1").p_holm > 0.05


def test_a_small_slice_is_shown_marked_and_not_tested(evaluation: Evaluation) -> None:
    hat = evaluation.slice("Wearing_Hat=1")
    assert (hat.images, hat.persons, hat.small) == (2, 1, True) and math.isnan(hat.p)
    nobody = evaluation.slice("female Wearing_Hat=1")
    assert nobody.images == 0 and nobody.small and math.isnan(nobody.accuracy.value)
    assert hat.name in set(slices_table(evaluation.slices)["slice"])


def test_slices_agree_with_a_group_by(evaluation: Evaluation) -> None:
    frame = table()
    right = (frame["logit"] >= 0) == (frame["label"] == 1)
    for value in (0, 1):
        rows = frame["Eyeglasses"] == bool(value)
        found = evaluation.slice(f"Eyeglasses={value}")
        assert found.accuracy.value == pytest.approx(right[rows].mean()) and found.images == rows.sum()
        assert found.rest_accuracy == pytest.approx(right[~rows].mean())
        assert found.recall_male.value == pytest.approx(right[rows & (frame["label"] == 1)].mean())
        assert found.difference.value == pytest.approx(right[rows].mean() - right[~rows].mean(), abs=1e-6)
    dark = evaluation.slice("dark")
    assert dark.images == pytest.approx(300, abs=2) and dark.group == "lighting"


def test_abstention_is_chosen_on_valid_and_measured_here(evaluation: Evaluation) -> None:
    chosen = {point.target_accuracy: point for point in evaluation.selective.guaranteed}
    assert chosen[0.95].valid_images == 1500
    frame = table()
    probability = 1 / (1 + np.exp(-frame["logit"].astype(float) / 1.5))
    kept = np.maximum(probability, 1 - probability) >= chosen[0.95].min_confidence
    assert chosen[0.95].coverage == pytest.approx(kept.mean())
    right = (probability >= 0.5) == (frame["label"] == 1)
    assert chosen[0.95].accuracy.value == pytest.approx(right[kept].mean())


def test_it_survives_json(evaluation: Evaluation) -> None:
    text = json.dumps(evaluation.to_dict(), allow_nan=False)
    back = Evaluation.from_dict(json.loads(text))
    assert json.dumps(back.to_dict()) == text and math.isnan(back.slice("Wearing_Hat=1").p)
    flat = evaluation.flat()
    json.dumps(flat, allow_nan=False)
    assert flat["test/accuracy"] == evaluation.metrics["accuracy"].value
    with pytest.raises(UserError, match="not an evaluation that this version can read"):
        Evaluation.from_dict({"checkpoint": "x"})


def test_what_a_reader_must_know_is_said() -> None:
    frame = table(n=300).drop(columns=["Eyeglasses", "Wearing_Lipstick", "Wearing_Hat"])
    frame["identity"] = pd.array([None] * 300, dtype="Int32")
    train = evaluate_table(subject(split="train"), frame, None, resamples=100)
    assert train.trained_on and train.persons is None and len(train.remarks) == 4
    other = evaluate_table(subject(split="train", own_data=False), table(n=300), table(n=300), resamples=100)
    assert not other.trained_on and len(other.remarks) == 1 and "need not hold here" in other.remarks[0]
    assert not any(point.holds for point in other.selective.guaranteed)


def test_the_card_says_what_was_measured(evaluation: Evaluation) -> None:
    card = model_card(evaluation, {"seconds": 120.0, "status": "done"}, {"data": {"name": "celeba"}})
    for heading in (
        "Intended use",
        "Out of scope",
        "Data",
        "Training",
        "Metrics",
        "Is it fair?",
        "Subgroups",
        "Limits",
    ):
        assert f"## {heading}" in card
    assert f"{evaluation.metrics['accuracy'].value:.4f}" in card and "2.0 minutes" in card
    assert "**women without lipstick**" in card and "Surveillance" in card and "non-commercial" in card
    assert "nan" not in card.replace("finance", "")
    assert "What it cost is not known" in model_card(evaluation, {}, {})
    unknown = model_card(replace(evaluation, data="table"), {}, {"data": {"name": "a|<b>"}})
    assert "the kind 'a\\|&lt;b>', which this version" in unknown and "split of data of the kind 'table'" in unknown


def test_of_all_right_and_of_few_nothing_is_certain() -> None:
    frame = table(n=300)
    frame["logit"] = np.where(frame["label"] == 1, 4.0, -4.0).astype(np.float32)
    perfect = evaluate_table(subject(), frame, None, resamples=100)
    for name in ("accuracy", "recall_male", "recall_female", "balanced_accuracy", "f1", "mcc"):
        measure = perfect.metrics[name]
        assert measure.value == pytest.approx(1) and measure.high == pytest.approx(1) and measure.low < 0.97, name
    assert perfect.metrics["auroc"].value == 1 and math.isnan(perfect.metrics["auroc"].low)
    few = evaluate_table(subject(), table(n=30), None, resamples=100)
    assert all(math.isnan(metric.low) for metric in few.metrics.values())
    assert "There are only 2 persons of one class" in " ".join(few.remarks)


def test_an_evaluation_has_its_tables(evaluation: Evaluation, tmp_path: Path) -> None:
    metrics = evaluation.table()
    assert metrics.loc["accuracy", "value"] == evaluation.metrics["accuracy"].value
    assert metrics.loc["accuracy", "at_threshold"] == evaluation.metrics_at_threshold["accuracy"].value
    assert np.isnan(metrics.loc["auroc", "at_threshold"])
    assert evaluation.table("slices")["slice"].tolist() == [found.name for found in evaluation.slices]
    with pytest.raises(UserError, match="no table suspects"):
        evaluation.table("suspects")
    (tmp_path / "suspects.csv").write_text("image_id\n1.jpg\n")
    placed = replace(evaluation, path=tmp_path)
    assert placed.table("suspects")["image_id"].tolist() == ["1.jpg"]
    assert placed == evaluation and "path" not in placed.to_dict()
    assert Evaluation.from_dict({**placed.to_dict(), "path": "/elsewhere"}).path is None


def test_a_notebook_shows_what_is_printed(evaluation: Evaluation) -> None:
    html, accuracy = evaluation._repr_html_(), evaluation.metrics["accuracy"]
    cells = [f">{text}<" for text in ("accuracy", f"{accuracy.value:.4f}", accuracy.ends())]
    assert "".join(re.findall(r">[^<>]+<", html)).find("".join(cells)) >= 0
    assert str(accuracy) == f"{accuracy.value:.4f} ({accuracy.ends()})"
    assert all(f">{name}<" in html for name in evaluation.table().index)
    assert "women without lipstick, accuracy" in html
