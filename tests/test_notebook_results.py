"""What results show in a notebook: their own numbers, escaped, with paths from the working directory."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from comparison.simulated_runs import make_run_at

from gender_lightning import Run, UserError
from gender_lightning.api import Search
from gender_lightning.commands.compare import compare
from gender_lightning.config import CompareConfig, parse_config
from gender_lightning.console import shown
from gender_lightning.evaluation.statistics.prevalence import Estimate
from gender_lightning.inference.population import Counts, GroupCount
from gender_lightning.notebook import as_html
from gender_lightning.overrides import compose


class Cells(HTMLParser):
    """The texts of a table's cells, row by row, as a browser reads them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.within = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self.within = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self.within = False

    def handle_data(self, data: str) -> None:
        if self.within:
            self.rows[-1][-1] += data


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run below the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "a").mkdir(parents=True)
    path = tmp_path / "runs" / "a"
    (path / "run.json").write_text(json.dumps({"status": "done", "seconds": 61.2}))
    (path / "metrics.json").write_text(json.dumps({"val/accuracy": 0.5, "test/accuracy": 0.25, "val/loss": 1}))
    (path / "metrics.csv").write_text("epoch,val/accuracy\n1,0.4\n2,0.5\n")
    return Run.open("runs/a")


def test_a_run_shows_its_metrics_and_a_path_from_here(run: Run) -> None:
    html = run._repr_html_()
    assert Cells(html).rows == [["metric", "valid", "test"], ["accuracy", "0.5000", "0.2500"], ["loss", "1.0000", ""]]
    assert "Run runs/a" in html and "done, 61 s" in html and str(run.path) not in html
    assert repr(run) == "Run('runs/a')"
    assert run.curve()["val/accuracy"].tolist() == [0.4, 0.5]


def test_a_run_without_an_epoch_has_no_curve(run: Run) -> None:
    (run.path / "metrics.csv").unlink()
    with pytest.raises(UserError, match="first epoch"):
        run.curve()


def test_paths_outside_are_shown_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    assert shown(tmp_path / "in" / "x" / "y") == str(Path("x/y"))
    assert shown(tmp_path / "inside") == str(tmp_path / "inside")


def test_what_is_shown_is_text() -> None:
    html = as_html("<script>", ["<b>"], [["&amp;"]], ["<img src=x onerror=alert(1)>"])
    assert "<script" not in html and "<img" not in html and Cells(html).rows == [["<b>"], ["&amp;"]]


def test_a_comparison_has_its_tables(tmp_path: Path) -> None:
    runs = [make_run_at(tmp_path / "runs" / name, f"model={name}") for name in ("resnet18", "resnet50")]
    typed = [f"runs=[{','.join(map(str, runs))}]", f"output={tmp_path / 'out'}", "speed.measure=false"]
    comparison = compare(parse_config(CompareConfig, compose("compare", typed)))
    written = json.loads((tmp_path / "out" / "comparison.json").read_text())
    models = comparison.table()
    for row in written["rows"]:
        assert models.loc[row["label"], "accuracy"] == pytest.approx(row["accuracy"]["mean"])
        assert models.loc[row["label"], "accuracy_low"] == pytest.approx(row["accuracy"]["interval"][0])
    assert models["accuracy"].is_monotonic_decreasing
    assert comparison.pairs_table()["p_holm"].tolist() == pytest.approx([pair["p_holm"] for pair in written["pairs"]])
    headings = [line for line in comparison._repr_markdown_().splitlines() if line.startswith("#")]
    assert headings and all(line.startswith("###") for line in headings)
    assert comparison.path == tmp_path / "out"


def test_counts_are_a_table() -> None:
    estimate = Estimate(faces=200, naive=0.5, share=0.25, low=0.2, high=0.3)
    counts = Counts([GroupCount("all", estimate, 0.4)], ("female", "male"))
    assert counts.table().loc[0, ["faces", "female", "male", "share_male"]].tolist() == [200, 150, 50, 0.25]
    assert Cells(counts._repr_html_()).rows[1][:4] == ["all", "200", "150", "50"]


def test_a_search_shows_its_best_run(run: Run) -> None:
    found = Search(run.path.parent, (run,), {"test/accuracy": 0.25})
    assert Cells(found._repr_html_()).rows[1] == ["runs/a", "0.5000", "1.0000"]
    assert repr(found) == "Search('runs', best=[Run('runs/a')])"
    pd.DataFrame({"trial": [0]}).to_csv(run.path.parent / "trials.csv", index=False)
    assert found.trials()["trial"].tolist() == [0]


def test_a_mistake_is_one_message_in_a_notebook() -> None:
    error = UserError("There is no directory runs/a.", "Name one that `train` made.")
    assert error._render_traceback_() == [f"UserError: {error}"]
