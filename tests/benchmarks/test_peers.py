"""Other tools on the same faces: what they are shown, what is made of their answers, and one that fails."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from small_runs import make_run

import gender_lightning
from gender_lightning.benchmarks.peers import __main__ as peers
from gender_lightning.benchmarks.peers import tools
from gender_lightning.benchmarks.peers.asking import Asked, Pixels, ask, views
from gender_lightning.comparison.runs.foreign import read_answers
from gender_lightning.data.sources.annotations import Index
from gender_lightning.errors import UserError
from gender_lightning.evaluation.predictions import predictions_table, write_predictions

TOOL = f"""
import sys
sys.path.insert(0, {str(tools.RUNNERS)!r})
from frames import answer

def of_male(pictures):
    print("some tools talk")
    level = pictures[0][..., 0].mean() / 255
    if level == 0:
        raise ValueError("it is too dark")
    return None if level == 1 else level

sys.exit(answer(of_male))
"""


def picture(level: int, height: int = 20, width: int = 10) -> Pixels:
    return np.full((height, width, 3), level, dtype=np.uint8)


@pytest.fixture
def tool(tmp_path: Path) -> list[str]:
    script = tmp_path / "tool.py"
    script.write_text(TOOL)
    return [sys.executable, str(script)]


def test_each_picture_gets_the_answer_to_it_and_none_where_there_is_none(tool: list[str], tmp_path: Path) -> None:
    pictures = [("female/1.jpg", picture(51)), ("male/ü, 2.jpg", picture(204, 7, 300)), ("male/3.jpg", picture(255))]
    asked = ask(tool, pictures, tmp_path / "theirs.csv")
    assert isinstance(asked, Asked) and (asked.pictures, asked.answered) == (3, 2) and asked.seconds > 0
    with (tmp_path / "theirs.csv").open(encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["image_id", "probability"], ["female/1.jpg", "0.200000"], ["male/ü, 2.jpg", "0.800000"], ["male/3.jpg", ""],
    ]  # fmt: skip
    found = read_answers(tmp_path / "theirs.csv")  # as `compare` reads it
    assert found.values.tolist() == pytest.approx([0.2, 0.8, np.nan], nan_ok=True)


def test_a_tool_that_breaks_leaves_no_table_and_its_last_word(tool: list[str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="theirs ended after 1 pictures: ValueError: it is too dark"):
        ask(tool, [("a", picture(51)), ("b", picture(0)), ("c", picture(51))], tmp_path / "theirs.csv")
    assert not (tmp_path / "theirs.csv").exists()


def test_a_large_picture_is_shrunk_and_the_border_is_half_its_longer_side() -> None:
    plain, framed = views(picture(9, 1280, 640))
    assert plain.shape == (640, 320, 3) and framed.shape == (640 + 2 * 320, 320 + 2 * 320, 3)
    assert (framed[320:960, 320:640] == plain).all() and framed[0, 0].tolist() == [128, 128, 128]
    assert views(picture(9))[0].shape == (20, 10, 3)


def test_a_tool_is_installed_once_and_again_with_other_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []

    def run(command: list[str], **_: Any) -> Any:
        started.append(command)
        return SimpleNamespace(returncode=0, stdout="", stderr="")

    monkeypatch.setattr(subprocess, "run", run)
    for tool in tools.TOOLS.values():
        started.clear()
        asked = [tools.install(tool, tmp_path) for _ in range(2)]
        installed = [package for command in started for package in command if package in tool.packages]
        assert installed == list(tool.packages)
        assert asked[0] == asked[1] and Path(asked[0][1]).is_file()
    (tmp_path / "human" / "installed").write_text("human@1.0.0")
    started.clear()
    tools.install(tools.TOOLS["human"], tmp_path)
    assert started and "--ignore-scripts" in started[0]


def test_a_tool_that_cannot_be_installed_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = SimpleNamespace(returncode=1, stdout="", stderr="npm error 404\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: said)
    with pytest.raises(UserError, match="human cannot be installed: npm error 404"):
        tools.install(tools.TOOLS["human"], tmp_path)
    assert not (tmp_path / "human" / "installed").exists()


@pytest.mark.slow
def test_runs_and_tools_come_into_one_comparison(
    tool: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only the evaluation of the runs and the installation are replaced."""
    root, numbers = tmp_path / "faces, mine", range(6)
    for name, level in (("female", 60), ("male", 200)):
        (root / name).mkdir(parents=True)
        for number in numbers:
            Image.fromarray(picture(level + number)).save(root / name / f"{number}.png")
    ids = [f"{name}/{number}.png" for name in ("female", "male") for number in numbers]
    runs = [make_run(tmp_path / f"run{seed}", seed) for seed in (0, 2)]
    for run in runs:
        (run / "run.json").write_text('{"status": "done"}')
    compared: list[list[str]] = []
    evaluated: list[str] = []

    def command(verb: str, *texts: str) -> None:
        if verb == "compare":
            compared.append(list(texts))
            return
        values = dict(text.split("=", 1) for text in texts)
        output = Path(values["output"])
        evaluated.append(values["checkpoint"])
        index = Index(
            np.array([name.encode() for name in ids]), np.repeat([0, 1], len(numbers)).astype(np.int8),
            np.full(len(ids), 2, dtype=np.int8), np.zeros((len(ids), 0), dtype=np.bool_), (),
        )  # fmt: skip
        write_predictions(predictions_table(index, "test", np.ones(len(ids))), output / "predictions.parquet")
        (output / "evaluation.json").write_text(json.dumps({"checkpoint": values["checkpoint"]}))

    monkeypatch.setattr(peers, "_command", command)
    monkeypatch.setattr(peers, "install", lambda one, environments: tool if one.name == "human" else broken(one.name))

    def ask_about(*runs: Path) -> None:
        arguments = [text for run in runs for text in ("--checkpoint", str(run))]
        peers.main([*arguments, "--name", "mine", "--output", str(tmp_path), "data=folder", f"data.root='{root}'"])

    ask_about(*runs)
    assert "left out: face-api cannot be installed" in capsys.readouterr().err
    found = gender_lightning.compare("packages=[]", *compared[0])
    rows = {summary.row.label: summary.scores["accuracy"].mean for summary in found.summaries}
    assert len(rows) == 4 and rows["human"] == 1 and rows["ours_faces_auto"] == rows["mean_of_2_faces_auto"] == 0.5
    assert (tmp_path / "mine" / "comparison.html").is_file()

    first, second = map(str, runs)
    assert evaluated == [first, first, f"[{first},{second}]"]
    ask_about(*runs)
    assert len(evaluated) == 3  # what was measured is there
    ask_about(*reversed(runs))
    assert evaluated[3:] == [second, second, f"[{second},{first}]"]


def broken(name: str) -> list[str]:
    raise UserError(f"{name} cannot be installed: no network")
