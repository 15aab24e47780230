"""Answers of other tools beside a run: figures against scikit-learn's, and a sentence for what is no answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, recall_score, roc_auc_score

from comparison.simulated_runs import MakeRun, predictions
from gender_lightning.commands.compare import compare
from gender_lightning.comparison.runs.foreign import read_answers
from gender_lightning.config import CompareConfig, parse_config
from gender_lightning.errors import UserError
from gender_lightning.overrides import compose


def compared(tmp_path: Path, *wanted: Path, **fields: str) -> dict[str, Any]:
    typed = [f"runs=[{','.join(map(str, wanted))}]", f"output={tmp_path / 'out'}", "speed.measure=false"]
    typed += [f"{name}={value}" for name, value in fields.items()]
    compare(parse_config(CompareConfig, compose("compare", typed)))
    content: dict[str, Any] = json.loads((tmp_path / "out" / "comparison.json").read_text())
    return content


def row_of(content: dict[str, Any], label: str) -> dict[str, Any]:
    return next(row for row in content["rows"] if row["label"] == label)


def test_probabilities_are_a_row_like_a_runs(make_run: MakeRun, tmp_path: Path) -> None:
    theirs = predictions(skill=3.0, noise=5).sample(frac=1, random_state=0)
    theirs["image_id"] = "photos/" + theirs["image_id"]
    theirs[["image_id", "probability"]].to_parquet(tmp_path / "cloud.parquet")
    content = compared(tmp_path, make_run("a"), tmp_path / "cloud.parquet")
    row = row_of(content, "cloud")
    assert row["accuracy"]["mean"] == pytest.approx(accuracy_score(theirs["label"], theirs["probability"] >= 0.5))
    assert row["auroc"]["mean"] == pytest.approx(roc_auc_score(theirs["label"], theirs["probability"]), abs=1e-3)
    assert len(content["pairs"]) == 1 and content["pairs"][0]["p"] is not None and row["slices"]
    assert "cloud" in (tmp_path / "out" / "comparison.html").read_text()


def test_labels_alone_with_missing_answers(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run("a")
    theirs = predictions(skill=2.5, noise=7)
    words = np.where(theirs["probability"] >= 0.5, "Man", "Woman").astype(object)
    words[:30], words[30:40] = "", "no_face"
    table = pd.DataFrame({"image_id": theirs["image_id"], "label": words})
    table = pd.concat([table.iloc[:-5], pd.DataFrame({"image_id": ["other.jpg"], "label": ["male"]})])  # five rows less
    table.to_csv(tmp_path / "people.csv", index=False)
    content = compared(tmp_path, run, tmp_path / "people.csv")
    row, label = row_of(content, "people"), theirs["label"].to_numpy()
    there = np.ones(len(label), dtype=bool)
    there[:40] = there[-5:] = False
    decided = np.where(there, theirs["probability"] >= 0.5, 1 - label)
    assert row["accuracy"]["mean"] == pytest.approx(accuracy_score(label, decided))
    assert row["recall_male"]["mean"] == pytest.approx(recall_score(label, decided))
    assert not {"auroc", "ece", "f1", "precision_male"} & row.keys()
    notes = " ".join(content["notes"])
    assert "people has no answer for 45 of 400 images" in notes and "people gives labels alone" in notes
    content = compared(tmp_path, run, tmp_path / "people.csv", images="common")
    assert content["images"] == 355
    answered = accuracy_score(label[there], theirs["probability"][there] >= 0.5)
    assert row_of(content, "people")["accuracy"]["mean"] == pytest.approx(answered)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,label\na.jpg,male\n", "needs the columns image_id and probability"),
        ("image_id,label\na.jpg,male\na.jpg,male\n", "an image more than once, such as a.jpg"),
        ("image_id,label\na.jpg,old\n", "the label 'old' is not female or male"),
        ("image_id,probability\na.jpg,1.5\n", "the probability '1.5' is not a number from 0 to 1"),
        ("image_id,probability\na.jpg,nan\nb.jpg,inf\n", "'inf' is not a number from 0 to 1"),
        ("image_id,label,label\na.jpg,male,female\n", "has two columns label"),
        ("image_id,image_id,label\na.jpg,b.jpg,male\n", "has two columns image_id"),
        ("", "cannot be read"),
        (None, "there is no such file"),
    ],
)
def test_what_is_no_answer_gets_its_sentence(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "a.csv").write_text(text)
    with pytest.raises(UserError, match=said):
        read_answers(tmp_path / "a.csv")


def test_a_file_needs_a_run_and_its_images(make_run: MakeRun, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("image_id,label\nother.jpg,male\n")
    with pytest.raises(UserError, match="has no labels of its own"):
        compared(tmp_path, tmp_path / "a.csv")
    with pytest.raises(UserError, match="answers none of the 400 images"):
        compared(tmp_path, make_run("a"), tmp_path / "a.csv")
    (tmp_path / "b.parquet").write_bytes(b"PAR1 nothing PAR1")
    with pytest.raises(UserError, match="cannot be read"):
        compared(tmp_path, make_run("b"), tmp_path / "b.parquet")


def test_a_comma_at_the_end_of_each_line_is_no_column(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("image_id,label\na.jpg,male,\nb.jpg,female,\n")
    answers = read_answers(tmp_path / "a.csv")
    assert answers.ids.tolist() == ["a.jpg", "b.jpg"] and answers.values.tolist() == [1, 0]
