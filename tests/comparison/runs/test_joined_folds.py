"""The folds of a cross-validation as one row: beside scikit-learn on the tables put together by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sklearn.metrics import accuracy_score

from comparison.simulated_runs import MakeRun
from gender_lightning.commands.compare import compare
from gender_lightning.config import CompareConfig, parse_config
from gender_lightning.errors import UserError
from gender_lightning.overrides import compose


def compared(tmp_path: Path, *runs: Path, more: Sequence[str] = ()) -> dict[str, Any]:
    typed = [f"runs=[{','.join(map(str, runs))}]", f"output={tmp_path / 'out'}", "speed.measure=false", *more]
    compare(parse_config(CompareConfig, compose("compare", typed)))
    content: dict[str, Any] = json.loads((tmp_path / "out" / "comparison.json").read_text())
    return content


def make_fold(make_run: MakeRun, name: str, fold: int, *overrides: str, **settings: Any) -> Path:
    """One of three folds: its valid holds every third person of a split."""
    run = make_run(name, "data.folds=3", f"data.fold={fold}", *overrides, people=60, **settings)
    file = run / "predictions/valid.parquet"
    table = pd.read_parquet(file)
    table[table["identity"] % 3 == fold - 1].to_parquet(file)
    return run


def test_folds_are_one_row_whose_images_are_those_of_all(make_run: MakeRun, tmp_path: Path) -> None:
    plain = [make_fold(make_run, f"plain{fold}", fold) for fold in (1, 2, 3)]
    better = [make_fold(make_run, f"better{fold}", fold, "optimizer.lr=1e-4", skill=4.0) for fold in (1, 2, 3)]
    content = compared(tmp_path, *plain, *better)
    assert content["split"] == "valid" and content["images"] == 400 and content["people"] == 60
    assert [len(row["runs"]) for row in content["rows"]] == [1, 1] and len(content["pairs"]) == 1
    for row, folds in zip(
        sorted(content["rows"], key=lambda row: "0.0001" in row["label"]), (plain, better), strict=True
    ):
        table = pd.concat([pd.read_parquet(run / "predictions/valid.parquet") for run in folds])
        assert row["accuracy"]["mean"] == pytest.approx(accuracy_score(table["label"], table["probability"] >= 0.5))
    assert any("with 3 folds over persons" in note for note in content["notes"])


def test_a_cross_validation_alone_is_described(make_run: MakeRun, tmp_path: Path) -> None:
    content = compared(tmp_path, *(make_fold(make_run, f"fold{fold}", fold) for fold in (1, 2, 3)))
    assert len(content["rows"]) == 1 and content["images"] == 400 and not content["pairs"]
    assert "There is nothing to compare: ResNet50 has an accuracy of" in (tmp_path / "out/comparison.md").read_text()


def test_seeds_of_a_cross_validation_are_one_row(make_run: MakeRun, tmp_path: Path) -> None:
    runs = [make_fold(make_run, f"{seed}-{fold}", fold, seed=seed) for seed in (1, 2) for fold in (1, 2, 3)]
    other = [make_fold(make_run, f"other{fold}", fold, "model=vgg19") for fold in (1, 2, 3)]
    content = compared(tmp_path, *runs, *other)
    assert sorted(len(row["runs"]) for row in content["rows"]) == [1, 2]


def test_some_of_the_folds_are_compared_and_it_is_said_which(make_run: MakeRun, tmp_path: Path) -> None:
    """Formerly the missing folds were demanded."""
    known = {"info": {"data_set": {"fingerprint": "f00d", "train": 270, "valid": 130, "test": 400}}}
    plain = [make_fold(make_run, f"plain{fold}", fold, **known) for fold in (1, 3)]
    better = [make_fold(make_run, f"better{fold}", fold, "optimizer.lr=1e-4", skill=4.0, **known) for fold in (1, 3)]
    content = compared(tmp_path, *plain, *better)
    tables = [pd.read_parquet(run / "predictions/valid.parquet") for run in plain]
    images = sum(map(len, tables))
    assert content["images"] == images < 400 and len(content["pairs"]) == 1
    told = f"Compared on folds 1 and 3 of 3, which hold out {images} of the 400 images of train and valid; nothing"
    assert [note.startswith(told) for note in content["notes"]].count(True) == 1
    assert "seed 1, 2 of 3 folds" in (tmp_path / "out/comparison.md").read_text()
    row = next(row for row in content["rows"] if "0.0001" not in row["label"])
    both = pd.concat(tables)
    assert row["accuracy"]["mean"] == pytest.approx(accuracy_score(both["label"], both["probability"] >= 0.5))


def test_one_fold_alone_is_described_without_its_share_where_that_is_not_known(
    make_run: MakeRun, tmp_path: Path
) -> None:
    content = compared(tmp_path, make_fold(make_run, "fold2", 2, info={"data_set": {"train": "many"}}))
    told = f"Compared on fold 2 of 3, which holds out {content['images']} images; nothing"
    assert any(note.startswith(told) for note in content["notes"])
    assert "One model, seed 1, 1 of 3 folds" in (tmp_path / "out/comparison.html").read_text()


def test_recipes_with_different_folds_need_common_images(make_run: MakeRun, tmp_path: Path) -> None:
    runs = [make_fold(make_run, f"fold{fold}", fold) for fold in (1, 2)]
    other = [make_fold(make_run, f"other{fold}", fold, "model=vgg19") for fold in (1, 2, 3)]
    with pytest.raises(UserError, match="tested on different images"):
        compared(tmp_path, *runs, *other)
    content = compared(tmp_path, *runs, *other, more=("images=common",))
    assert content["images"] == sum(len(pd.read_parquet(run / "predictions/valid.parquet")) for run in runs)
    assert any(note.startswith("fold1: Compared on folds 1 and 2 of 3") for note in content["notes"])


def test_the_mean_of_two_folds_is_refused_in_words(make_run: MakeRun, tmp_path: Path) -> None:
    """Formerly a KeyError."""
    one, two, three = (make_fold(make_run, f"fold{fold}", fold) for fold in (1, 2, 3))
    typed = [f"runs=[[{one},{two}],{three}]", f"output={tmp_path / 'out'}", "speed.measure=false"]
    with pytest.raises(UserError, match=r"fold\d holds out another fold than a run beside it"):
        compare(parse_config(CompareConfig, compose("compare", typed)))


def test_a_repeated_fold_counts_once(make_run: MakeRun, tmp_path: Path) -> None:
    runs = [make_fold(make_run, f"fold{fold}", fold) for fold in (1, 2, 3)]
    again = make_fold(make_run, "again", 2, info={"created": "2026-02-01T00:00:00"})
    other = [make_fold(make_run, f"other{fold}", fold, "model=vgg19") for fold in (1, 2, 3)]
    content = compared(tmp_path, *runs, again, *other)
    assert content["images"] == 400 and any(
        "fold2 has the recipe, seed and fold of again" in note for note in content["notes"]
    )


def test_on_test_each_fold_is_a_model_of_its_own(make_run: MakeRun, tmp_path: Path) -> None:
    runs = [make_fold(make_run, f"fold{fold}", fold, seed=fold) for fold in (1, 2)]
    typed = [f"runs=[{','.join(map(str, runs))}]", f"output={tmp_path / 'out'}", "speed.measure=false", "split=test"]
    compare(parse_config(CompareConfig, compose("compare", typed)))
    assert len(json.loads((tmp_path / "out" / "comparison.json").read_text())["rows"]) == 2
