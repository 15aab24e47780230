"""An import points down the list of rooms, never up."""

from __future__ import annotations

import ast
from itertools import pairwise
from pathlib import Path

import pytest

import gender_lightning

ROOT = Path(gender_lightning.__file__).parent
# From the ground up. A room may import what stands before it, and itself.
ROOMS = (
    "errors", "csv_text", "durable", "plain_files", "interruption", "machine", "console", "notebook",
    "progress", "job", "wandb_account",
    "building", "run_record", "runs",
    "faces_choice", "config", "verbs", "usage", "transforms", "synthetic", "data", "models",
    "evaluation", "training", "diagnostics", "inference", "audit", "refitting", "exporting",
    "overrides", "benchmarks", "comparison", "reports", "demo", "serving", "sweeps",
    "commands", "running", "distributed", "api", "__init__", "__main__",
)  # fmt: skip
HEIGHT = {room: height for height, room in enumerate(ROOMS)}


def room_of(file: Path) -> str:
    return file.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(source: str) -> list[tuple[int, str]]:
    """The rooms of this package that a source imports, lazily too, with the lines."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for parts in (name.split(".") for name in names):
            if parts[0] == "gender_lightning":
                found.append((node.lineno, parts[1] if len(parts) > 1 and parts[1] in HEIGHT else "__init__"))
    return found


def arrows_up(room: str, source: str) -> list[str]:
    return [f"line {line}: {room} imports {other}" for line, other in imported(source) if HEIGHT[other] > HEIGHT[room]]


def test_every_room_has_its_place() -> None:
    assert {room_of(file) for file in ROOT.rglob("*.py")} == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_no_import_points_up(room: str) -> None:
    files = [file for file in ROOT.rglob("*.py") if room_of(file) == room]
    assert files
    assert not {str(file): up for file in files if (up := arrows_up(room, file.read_text()))}


def test_an_arrow_up_is_seen() -> None:
    lazy = "def f():\n    from gender_lightning.commands import train\n"
    assert [arrows_up(room, lazy) for room in ("data", "__main__")] == [["line 2: data imports commands"], []]
    assert arrows_up("models", "import gender_lightning.training.losses.loss") == ["line 1: models imports training"]
    assert all(arrows_up(lower, f"from gender_lightning.{upper} import x") for lower, upper in pairwise(ROOMS[:-2]))


def test_parts_know_neither_lightning_nor_hydra() -> None:
    """Pure functions and modules are testable in milliseconds."""
    parts = ("transforms", "models", "synthetic", "evaluation", "diagnostics")
    heavy = ("pytorch_lightning", "hydra", "omegaconf")
    for file in ROOT.rglob("*.py"):
        if room_of(file) in parts:
            assert not [
                name for name in heavy if f"import {name}" in (text := file.read_text()) or f"from {name}" in text
            ]
