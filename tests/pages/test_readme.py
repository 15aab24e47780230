"""The README says what is so: its commands are valid and run, its menu is conf/."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest
from typed_commands import type_in, typed_in_blocks

from gender_lightning import overrides
from gender_lightning.running import check_overrides
from gender_lightning.verbs import COMMANDS

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()
SMALL = ["data.image_size=32", "data.batch_size=16", "logger=csv"]
TINY = ["data.sizes={train:32,valid:16,test:16}", "trainer.max_epochs=1", *SMALL]


def commands() -> list[list[str]]:
    """The `gender-lightning ...` lines of the README's shell blocks, as words."""
    return typed_in_blocks(README)


def table_commands() -> list[str]:
    """The commands in the rows of "How do I": what is typed after `gender-lightning`, where `train` is understood."""
    rows = re.findall(r"^\| .* \|$", README.split("## How do I")[1].split("\n## ")[0], flags=re.MULTILINE)
    codes = [code for row in rows for code in re.findall(r"`([^`]+)`", row.partition(" | ")[2]) if "=" in code]
    verbs = tuple(f"{verb} " for verb in COMMANDS)
    return [code if code.startswith(verbs) else f"train {code}" for code in codes]


def test_it_fits_and_names_the_two_commands() -> None:
    assert len(README.splitlines()) < 250
    assert "make train" in README
    assert "make test" in README
    assert len(commands()) >= 8


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_is_valid(words: list[str]) -> None:
    verb, rest = words[0], words[1:]
    assert verb in COMMANDS
    if COMMANDS[verb].actions:
        assert rest.pop(0) in COMMANDS[verb].actions
    check_overrides(verb, rest)


def test_the_table_answers_twenty_questions() -> None:
    assert len(re.findall(r"^\| .* \|$", README.split("## How do I")[1].split("\n## ")[0], re.MULTILINE)) >= 21


@pytest.mark.parametrize("text", table_commands())
def test_every_command_of_the_table_is_valid(text: str) -> None:
    verb, *words = shlex.split(text.replace("=DIR", "=somewhere").replace("[mine]", "[statistics]"))
    check_overrides(verb, words)


def test_the_menu_is_conf() -> None:
    menu = README.split("## The menu")[1].split("```")[1]
    for group, choices in overrides.groups().items():
        assert f"{group}/" in menu
        for choice in choices:
            assert re.search(rf"\b{choice}\b", menu), f"{group}/{choice}.yaml is missing in the README's menu"


def searches(words: list[str]) -> bool:
    """Those take hours, or GPUs; tests/end_to_end/test_search.py runs small ones."""
    return any(word.startswith("search=") or "interval(" in word for word in words)


@pytest.mark.slow
@pytest.mark.timeout(960)
@pytest.mark.parametrize(
    "words",
    [words for words in commands() if words[0] == "train" and "resume" not in words[1] and not searches(words)],
    ids=" ".join,
)
def test_every_training_command_runs(words: list[str], tmp_path: Path) -> None:
    small = TINY
    if any(word.startswith("experiment=celeba_mini") for word in words):
        faces = Path(os.environ.get("CELEBA_MINI", ROOT.parent / "shared/celeba-mini"))
        if not faces.is_dir():
            pytest.skip(f"needs the real faces of {faces}")
        words = [word if not word.startswith("data.root=") else f"data.root={faces}" for word in words]
        small = ["data.limit=32", "trainer.max_epochs=2", *SMALL]
    done = type_in([*words, *small], tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "run directory" in done.stdout or "sweep directory" in done.stdout
    jobs = 4 if "-m" in words else 1
    assert len(list(tmp_path.glob("runs/**/metrics.json"))) == jobs


# What is typed after the README's own words to be done soon. tests/end_to_end/breaks/ resumes what was cut off,
# and tests/demo looks at the page.
FEW = "data.sizes={train:320,valid:64,test:64}"
LESS = {
    "evaluate": ["corruptions=none"],
    "compare": ["speed.measure=false"],
    "population": ["minimum=10"],
    "benchmark": [FEW, "data.batch_size=8", "stages=[decode,loader]", "repeats=1"],
    "data": [FEW],
}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "words",
    [words for words in commands() if words[0] not in ("train", "demo")],
    ids=" ".join,
)
def test_every_other_command_runs(words: list[str], house: Path) -> None:
    less = [] if words[:2] == ["data", "prepare"] else LESS.get(words[0], [])
    done = type_in([*words, *less], house)
    assert done.returncode == 0, done.stderr[-2000:]
