"""The mean of runs beside single ones: figures against numpy and scikit-learn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, roc_auc_score

from comparison.simulated_runs import MakeRun
from gender_lightning.commands.compare import compare
from gender_lightning.comparison.costs import Cost, total
from gender_lightning.comparison.runs.means import mean_rows
from gender_lightning.comparison.runs.reading import read_runs
from gender_lightning.config import CompareConfig, parse_config
from gender_lightning.errors import UserError
from gender_lightning.evaluation.metrics import fit_temperature
from gender_lightning.overrides import compose
from gender_lightning.runs import Run


def compared(tmp_path: Path, runs: str) -> dict[str, Any]:
    typed = [f"runs={runs}", f"output={tmp_path / 'out'}", "speed.measure=false"]
    compare(parse_config(CompareConfig, compose("compare", typed)))
    content: dict[str, Any] = json.loads((tmp_path / "out" / "comparison.json").read_text())
    return content


def mean_logit(runs: list[Path], split: str) -> np.ndarray:
    logits: np.ndarray = np.mean(
        [pd.read_parquet(run / f"predictions/{split}.parquet")["logit"] for run in runs], axis=0
    )
    return logits


def test_the_mean_is_one_row(make_run: MakeRun, tmp_path: Path) -> None:
    a, b, c = (make_run(name, seed=seed) for seed, name in enumerate("abc", 1))
    content = compared(tmp_path, f"[{a},[{a},{b},{c}]]")
    labels = pd.read_parquet(a / "predictions/test.parquet")["label"]
    single, row = sorted(content["rows"], key=lambda row: row["label"].startswith("mean of"))
    truth = pd.read_parquet(a / "predictions/valid.parquet")["label"]
    temperature = fit_temperature(mean_logit([a, b, c], "valid"), truth)
    p = 1 / (1 + np.exp(-mean_logit([a, b, c], "test") / temperature))
    assert row["label"] == "mean of 3 ResNet50" and single["label"] == "ResNet50"
    assert row["accuracy"]["mean"] == pytest.approx(accuracy_score(labels, p >= 0.5))
    assert row["auroc"]["mean"] == pytest.approx(roc_auc_score(labels, p), abs=1e-3)
    members = read_runs([Run.open(run) for run in (a, b, c)], "test", None)
    (joined,), _ = mean_rows([members], [])
    assert np.allclose(joined.runs[0].probability, p, atol=1e-5)
    assert len(content["pairs"]) == 1 and content["pairs"][0]["p"] is not None
    assert any("calibrated logits of 3 runs, calibrated on valid" in note for note in content["notes"])
    assert "mean of 3" in (tmp_path / "out" / "comparison.md").read_text()
    assert not any("twice" in note for note in content["notes"])  # a run may be a row and part of a mean


def test_means_without_common_valid_images_say_so(make_run: MakeRun, tmp_path: Path) -> None:
    a, b = make_run("a"), make_run("b", seed=2, splits=("test",))
    content = compared(tmp_path, f"[{a},[{a},{b}]]")
    assert any("not calibrated for lack of predictions" in note for note in content["notes"])


def test_what_is_no_mean_is_refused(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run("a")
    for runs, said in (
        (f"[{run},[{run}]]", "the mean of one run"),
        (f"[{run},[{run},x.csv]]", "cannot be part of a mean"),
    ):
        with pytest.raises(UserError, match=said):
            compared(tmp_path, runs)


def test_all_networks_of_a_mean_are_paid_for() -> None:
    assert total([Cost(10, 1.5, 1, 64), Cost(5, 0.5, 2, 48)]) == Cost(15, 2.0, 2, 64)
