"""What docstrings point at is there, and their examples run."""

from __future__ import annotations

import ast
import doctest
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import gender_lightning
from gender_lightning.usage.fields import members_of, rows
from gender_lightning.verbs import COMMANDS

ROOT = Path(gender_lightning.__file__).parent
ROOMS = {path.name for path in ROOT.iterdir() if path.is_dir()} | {path.stem for path in ROOT.glob("*.py")}
REFERENCE = re.compile(r"`(?:gender_lightning\.)?([a-z_]+(?:\.\w+)+)`")
FILES = ("json", "yaml", "md", "html", "csv", "parquet")
# examples that need no checkpoint, no file and no network
EXAMPLES = (
    "errors", "evaluation.subgroups.group_words", "inference.pictures", "models.backbones", "overrides.from_python",
    "reports.page", "transforms.augment",
    "transforms.mixing", "transforms.normalize", "transforms.settings",
)  # fmt: skip


def references() -> Iterator[tuple[str, str]]:
    """(file and line, name) of each `room.name` in a docstring or a comment."""
    for file in sorted(ROOT.rglob("*.py")):
        for number, line in enumerate(file.read_text().splitlines(), start=1):
            for name in REFERENCE.findall(line):
                if name.partition(".")[0] in ROOMS and name.rpartition(".")[2] not in FILES:
                    yield f"{file.relative_to(ROOT)}:{number}", name


def configured() -> set[str]:
    """The fields of all commands, and the sections that hold them."""
    fields = set()
    for command in COMMANDS.values():
        fields |= {row.name for row in rows(command.schema)}
        for name, field in command.schema.model_fields.items():
            fields |= {row.name for section in members_of(field).values() for row in rows(section, f"{name}.")}
    return fields | {name.rpartition(".")[0] for name in fields}


def is_there(name: str) -> bool:
    """Whether a module, or something in a module, has this name."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(["gender_lightning", *parts[:length]]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            found = getattr(found, part, None)
        return found is not None
    return False


def test_every_name_in_a_docstring_resolves() -> None:
    known = configured()
    stale = [(place, name) for place, name in references() if name not in known and not is_there(name)]
    assert not stale


def test_a_stale_name_is_seen() -> None:
    assert is_there("data.decoding") and is_there("inference.faces.crops.Cropper.choices")
    assert not is_there("data.decoding.gone") and not is_there("nowhere.at_all")


@pytest.mark.parametrize("module", EXAMPLES)
def test_examples_run(module: str) -> None:
    found = importlib.import_module(f"gender_lightning.{module}")
    torch = importlib.import_module("torch")
    results = doctest.testmod(found, extraglobs={"torch": torch})
    assert results.attempted and not results.failed


def test_every_module_says_what_it_is_for() -> None:
    assert not [file for file in ROOT.rglob("*.py") if not ast.get_docstring(ast.parse(file.read_text()))]
