"""`train -m`: the grid is Hydra's own, every point runs, and a failure is told at the end."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser

from gender_lightning.__main__ import main
from gender_lightning.errors import UserError
from gender_lightning.sweeps.grid import grid
from gender_lightning.sweeps.jobs import Job

PROGRAM = """
import json, pathlib, sys
place = pathlib.Path(sys.argv[-1])
(place / 'typed.json').write_text(json.dumps(sys.argv[1:-1]))
if 'seed=2' in sys.argv: sys.exit('seed 2 is unlucky')
(place / 'metrics.json').write_text(json.dumps({'val/accuracy': 0.75, 'test/accuracy': 0.5}))
"""


@pytest.mark.parametrize(
    "overrides",
    [
        ["model=resnet18,resnet50", "seed=1,2"],
        ["model=resnet18", "seed=range(1,4)", "optimizer.lr=choice(0.1,0.01)"],
        ["logger.tags=[a,b],[c]", "name='a b','c'", "+optimizer.foreach=true,false"],
        ["seed=1,2", "seed=3"],
        ["data.root='/a=b, c'", "~experiment"],
        ["trainer.max_epochs=sort(3,1,2)", "data.sizes={train:1,valid:2,test:3},{train:4,valid:5,test:6}"],
    ],
)
def test_the_grid_is_hydras(overrides: list[str]) -> None:
    parser = OverridesParser.create()
    (theirs,) = BasicSweeper.split_arguments(parser.parse_overrides(overrides), max_batch_size=None)

    def meaning(point: Any) -> list[tuple[str, Any]]:
        return [
            (override.get_key_element(), override.value())
            for override in parser.parse_overrides([str(text) for text in point])
        ]

    assert [meaning(point) for point in grid(overrides)] == [meaning(point) for point in theirs]


def test_a_range_without_end_is_for_a_search() -> None:
    with pytest.raises(UserError, match=r"a grid needs single values. List them: optimizer.lr=a,b,c."):
        grid(["optimizer.lr=interval(0.1,1)"])


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`gender-lightning train -m ...` with a small program in the place of each training; returns the exit code."""
    monkeypatch.setattr(
        Job, "command", property(lambda self: [sys.executable, "-c", PROGRAM, *self.overrides, str(self.directory)])
    )

    def run(*arguments: str) -> int:
        steering = ["hydra.sweeper.fork=false", f"hydra.sweep.dir={tmp_path / 'sweeps' / 'now'}"]
        monkeypatch.setattr(sys, "argv", ["gender-lightning", "train", *arguments, *steering])
        try:
            main()
        except SystemExit as stop:
            return int(str(stop.code))
        return 0

    return run


def typed(directory: Path) -> list[str]:
    content: list[str] = json.loads((directory / "typed.json").read_text())
    return content


def test_a_failing_job_is_recorded_and_the_others_go_on(
    sweep: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # -m between the overrides, which Hydra's own parser does not take
    assert sweep("seed=1,2,3", "-m", "model=resnet18,vgg19") == 1
    directory = tmp_path / "sweeps" / "now"
    assert sorted(path.name for path in directory.iterdir()) == ["0", "1", "2", "3", "4", "5"]
    assert typed(directory / "5") == ["seed=3", "model=vgg19"]
    text = capsys.readouterr().out
    assert text.count("seed 2 is unlucky") == 2  # the tail of what it printed
    assert json.loads((directory / "2" / "run.json").read_text())["status"] == "failed"
    assert sum((directory / str(number) / "metrics.json").is_file() for number in range(6)) == 4


def test_all_well_is_exit_code_0_and_a_table(sweep: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert sweep("-m", "model=resnet18,vgg19", "logger=csv") == 0
    text = capsys.readouterr().out
    assert "0.7500" in text and "0.5000" in text and f"sweep directory: {tmp_path / 'sweeps' / 'now'}" in text
    assert typed(tmp_path / "sweeps" / "now" / "0") == ["model=resnet18", "logger=csv"]


def test_choices_by_pattern(sweep: Any, tmp_path: Path) -> None:
    assert sweep("-m", "model=glob(resnet*)", "logger.group=mine") == 0
    assert [typed(tmp_path / "sweeps" / "now" / str(number)) for number in range(2)] == [
        ["model=resnet18", "logger.group=mine"], ["model=resnet50", "logger.group=mine"],
    ]  # fmt: skip


def test_mistakes_are_told_before_anything_starts(
    sweep: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep("-m", "model=resnet18,resnt50", "optimizer.lr=-1,0.1") == 2
    text = capsys.readouterr().err
    assert "Did you mean 'resnet50'?" in text and "greater than 0" in text
    assert not (tmp_path / "sweeps").exists()


def test_a_sweep_directory_that_exists_is_left_alone(
    sweep: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sweeps" / "now").mkdir(parents=True)
    assert sweep("-m", "seed=1,2") == 2
    text = capsys.readouterr().err
    assert "exists already. Choose another with hydra.sweep.dir=" in text and "Traceback" not in text
    assert not list((tmp_path / "sweeps" / "now").iterdir())
