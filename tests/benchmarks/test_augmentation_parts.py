"""The table of what each part of an augmentation gives: its recipes, its resumption, its figures."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from small_runs import make_run

from gender_lightning.benchmarks import augmentation_parts as parts
from gender_lightning.evaluation.predictions import read_predictions
from gender_lightning.overrides.composing import compose
from gender_lightning.runs import Run


def augmentation(recipe: parts.Recipe) -> dict[str, Any]:
    found: dict[str, Any] = compose("train", recipe.overrides)["augmentation"]
    return found


def test_all_parts_together_turn_one_recipe_into_the_other_and_nothing_else_does() -> None:
    rows = parts.recipes()
    whole = {row.name: augmentation(row) for row in rows if row.name in (parts.PLAIN, parts.FRAMING)}
    for name, experiment in ((parts.PLAIN, parts.START), (parts.FRAMING, parts.THEN)):
        composed = compose("train", [f"experiment={experiment}", "augmentation.progressive=[]"])
        assert whole[name] == composed["augmentation"]
    for own, other in ((parts.PLAIN, parts.FRAMING), (parts.FRAMING, parts.PLAIN)):
        changed = [augmentation(row) for row in rows if row.name.startswith(f"{own} ")]
        joined = dict(whole[own])
        for one in changed:
            assert one != whole[own]
            joined |= {name: value for name, value in one.items() if value != whole[own][name]}
        assert joined == whole[other]


def test_a_part_that_the_framing_leaves_out_is_named_by_what_is_done() -> None:
    names = [row.name for row in parts.recipes(["borders", "erasing"])]
    assert names == [
        "standard", "standard with borders", "standard without erasing",
        "framing", "framing without borders", "framing with erasing", "framing, seen at several zooms",
    ]  # fmt: skip


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    for place, name in enumerate(("female", "male")):
        (folder := tmp_path / "faces" / name).mkdir(parents=True)
        for number in range(3):
            pixels = generator.integers(0, 256, (40 + place, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path / "faces"


def test_the_figures_are_those_of_the_predictions_that_are_left_in_each_run(tmp_path: Path, faces: Path) -> None:
    section = compose("train", ["data=folder", f"data.root={faces}"])["data"]
    section["sizes"] = {"train": 0.0, "valid": 0.0, "test": 1.0}
    runs = [Run.open(make_run(tmp_path / str(seed), seed, data=section)) for seed in (0, 2)]
    sets = parts.facesets(runs[0], [f"others={faces}"])
    row = parts.Recipe("name", "folder", ())
    lines = parts.markdown({row: runs, parts.Recipe("lost", "", ()): []}, sets).splitlines()
    assert lines[0] == "| | seeds | test-none (6) | test-auto (6) | others-none (6) | others-auto (6) |"
    right = []
    for run in runs:
        table = read_predictions(run.path / "evaluation" / "others-none" / "predictions.parquet")
        right.append(100 * float(((table["probability"] >= 0.5) == (table["label"] == 1)).mean()))
    assert lines[2].split(" | ")[4] == f"{np.mean(right):.1f} ± {np.std(right, ddof=1):.1f}"
    assert lines[3] == "| lost | 0 | failed | failed | failed | failed |"


def test_a_second_call_trains_what_is_missing_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, started = parts.Recipe("plain", "plain", ("experiment=robust", *parts.REST)), []

    def run(command: list[str], **_: Any) -> Any:
        started.append(command)
        folder = Path(command[-1].partition("=")[2])
        folder.mkdir(parents=True)
        (folder / "run.json").write_text('{"status": "done"}')
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(subprocess, "run", run)
    (tmp_path / "plain" / "seed1").mkdir(parents=True)
    (tmp_path / "plain" / "seed1" / "run.json").write_text('{"status": "running"}')
    for seed in (1, 2, 1):
        found = parts.train(recipe, seed, tmp_path, ["trainer.max_epochs=9"])
        assert found is not None
    assert len(started) == 2
    assert [text for text in started[0] if text.startswith("trainer.max_epochs")] == ["trainer.max_epochs=9"]


def test_a_failed_training_is_told_and_costs_its_own_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = SimpleNamespace(returncode=2, stdout="", stderr="It was too much.\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    assert parts.train(parts.Recipe("plain", "plain", ()), 3, tmp_path, ()) is None
    assert capsys.readouterr().err == "plain, seed 3: It was too much.\n"
