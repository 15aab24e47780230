"""Which runs are meant, and what is said where none is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from comparison.simulated_runs import MakeRun
from gender_lightning.comparison.runs.selection import natural_key, select_runs
from gender_lightning.errors import UserError


def names(tmp_path: Path, *wanted: str) -> list[str]:
    runs = tmp_path / "runs"
    return [str(run.path.relative_to(runs)) for run in select_runs([str(runs / text) for text in wanted]).runs]


def test_runs_sweeps_and_globs_in_the_order_of_naming_each_once(make_run: MakeRun, tmp_path: Path) -> None:
    for name in ("b", "sweep/2", "sweep/10", "sweep/1", "other/deep/er"):
        make_run(name, splits=())
    assert names(tmp_path, "b", "sweep") == ["b", "sweep/1", "sweep/2", "sweep/10"]
    assert names(tmp_path, "sweep/1*", "sweep") == ["sweep/1", "sweep/10", "sweep/2"]
    assert names(tmp_path, "o*") == ["other/deep/er"]
    assert names(tmp_path, "b", "../runs/b", "b/../b") == ["b"]


def test_what_a_run_holds_is_no_further_run(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run("a", splits=())
    (run / "evaluation" / "x").mkdir(parents=True)
    (run / "evaluation" / "x" / "run.json").write_text("{}")
    assert names(tmp_path, ".") == ["a"]


def test_unfinished_runs_of_a_sweep_are_left_out_and_named(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("sweep/0", splits=())
    for status in ("running", "failed", "pruned", "interrupted"):
        make_run(f"sweep/{status}", splits=(), status=status)
    selection = select_runs([str(tmp_path / "runs" / "sweep")])
    assert [run.path.name for run in selection.runs] == ["0"]
    said = " ".join(selection.left_out)
    assert all(word in said for word in ("has not ended yet", "has failed", "was pruned", "was interrupted"))


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("nowhere", "nowhere: there is no such directory. Give one that `train` printed at its end."),
        ("empty", "empty: there is no run in this directory."),
        ("file", "file: this is a file. Give the run directory that it lies in."),
        ("x*", "x*: this glob matches nothing. Check it with `ls`."),
        ("emp*", "emp*: this glob matches nothing but 1 paths without a run in them."),
        ("running", "running: this run has not ended yet. Leave it out, or continue it: gender-lightning train"),
    ],
)
def test_a_clear_sentence(make_run: MakeRun, tmp_path: Path, wanted: str, said: str) -> None:
    make_run("running", splits=(), status="running")
    (tmp_path / "runs" / "empty").mkdir()
    (tmp_path / "runs" / "file").touch()
    with pytest.raises(UserError, match=re.escape(said)):
        select_runs([str(tmp_path / "runs" / wanted)])


def test_every_wrong_name_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="2 mistakes") as caught:
        select_runs([str(tmp_path / "a"), str(tmp_path / "b")])
    assert str(tmp_path / "a") in str(caught.value) and str(tmp_path / "b") in str(caught.value)


def test_a_sweep_of_which_nothing_is_finished(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("sweep/0", splits=(), status="running")
    with pytest.raises(UserError, match="None of the 1 runs is finished"):
        select_runs([str(tmp_path / "runs" / "sweep")])


def test_jobs_are_counted_as_people_count() -> None:
    assert sorted(["job10", "job9"], key=natural_key) == ["job9", "job10"]
