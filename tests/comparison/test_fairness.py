"""The table on fairness of a comparison, in words, and the slices that are left out of its page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from comparison.simulated_runs import MakeRun
from gender_lightning.commands.compare import compare
from gender_lightning.config import CompareConfig, parse_config
from gender_lightning.overrides import compose


def compared(make_run: MakeRun, tmp_path: Path, people: int = 40, **columns: Any) -> tuple[dict[str, Any], str, str]:
    """JSON, Markdown and page of two recipes, whose tables have these columns instead."""
    runs = [make_run(name, *more, people=people) for name, more in (("a", ()), ("b", ("optimizer.lr=0.5",)))]
    for run in runs:
        file = run / "predictions/test.parquet"
        pd.read_parquet(file).assign(**columns).to_parquet(file)
    out = tmp_path / "out"
    typed = [f"runs=[{','.join(map(str, runs))}]", f"output={out}", "speed.measure=false"]
    compare(parse_config(CompareConfig, compose("compare", typed)))
    content: dict[str, Any] = json.loads((out / "comparison.json").read_text())
    return content, (out / "comparison.md").read_text(), (out / "comparison.html").read_text()


def test_gaps_are_told_in_plain_words(make_run: MakeRun, tmp_path: Path) -> None:
    content, text, page = compared(make_run, tmp_path)
    assert "| men over women, points | accuracy per person | lowest group | largest gap, points |" in text
    gap = content["rows"][0]["fairness"]["recall_gap"]
    assert f"| {100 * gap['value']:+.1f} ({100 * gap['low']:.1f} to {100 * gap['high']:.1f}) |" in text
    low, high = content["rows"][0]["accuracy"]["interval"]
    assert f"{100 * low:.1f}\xa0to\xa0{100 * high:.1f}" in page  # no line ends within an interval, in print neither
    for told in (text, page):
        assert "how much more often men are recognised than women, in points (minus: less often)" in told
        assert "how much more often those with the attribute are recognised than others of their class" in told
        assert "intervals over people, where there are at least 10 of each class" in told
        assert "minus recall" not in told and "Recall gap" not in told and "without brackets" not in told
    assert "left out, since" not in page


def test_the_page_names_no_folder_of_the_machine(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["gender-lightning", "compare", "runs=/home/ada/runs/*", "output=/srv/out"])
    page = compared(make_run, tmp_path)[2]
    assert "runs=.../*" in page and "/home/ada" not in page and str(tmp_path) not in page


def test_slices_without_an_image_are_counted(make_run: MakeRun, tmp_path: Path) -> None:
    content, _, page = compared(make_run, tmp_path, Wearing_Hat=False)
    listed = content["rows"][0]["slices"]
    assert all(found["n"] for found in listed) and "faces with a hat" not in page
    # all with a hat, and women with one
    assert f"2 of {len(listed) + 2} slices are left out, since no image here belongs to them." in page


def test_without_persons_none_are_told_of(make_run: MakeRun, tmp_path: Path) -> None:
    _, text, page = compared(make_run, tmp_path, identity=pd.array([None] * 400, dtype="Int32"))
    for told in (text, page):
        assert "accuracy per person" not in told and "95 % intervals over images, where" in told
        assert "at least 50 images, beyond chance or not" in told


def test_a_recall_without_an_interval_is_explained(make_run: MakeRun, tmp_path: Path) -> None:
    _, text, page = compared(make_run, tmp_path, people=12)
    for told in (text, page):
        assert "Accuracy or a recall without brackets is of fewer than 10 people." in told
