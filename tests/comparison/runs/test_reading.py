"""What a run directory holds may come from somebody else: it is read as plain values, or refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from comparison.simulated_runs import MakeRun
from gender_lightning.comparison.runs.reading import read_runs
from gender_lightning.errors import UserErrors
from gender_lightning.runs import Run


@pytest.mark.parametrize("name", ["overrides.yaml", "config.yaml", "run.json"])
def test_bytes_that_are_no_text_are_refused_by_name(name: str, make_run: MakeRun) -> None:
    runs = [make_run("a"), make_run("b", seed=2)]
    (runs[1] / name).write_bytes(b"x: \xff\xfe\n")
    assert _refusal(runs) == [f"{runs[1] / name} is damaged"]


def test_aliases_of_a_received_file_are_refused(make_run: MakeRun) -> None:
    run = make_run("a")
    (run / "overrides.yaml").write_text("- &a [1, 1]\n- [*a, *a]\n")
    assert _refusal([run]) == [f"{run / 'overrides.yaml'} is damaged"]


def _refusal(runs: list[Path]) -> list[str]:
    with pytest.raises(UserErrors) as refusal:
        read_runs([Run.open(run) for run in runs], "test", None)
    return [error.problem.partition(" (")[0] for error in refusal.value.mistakes]
