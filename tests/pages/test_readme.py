"""The README says what is so: its commands are valid and run, its links lead somewhere."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typed_commands import blocks_of, type_in, typed_in_blocks

from gender_lightning.errors import UserErrors
from gender_lightning.running import check_overrides
from gender_lightning.verbs import COMMANDS

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()
SMALL = ["data.image_size=32", "data.batch_size=16", "logger=csv"]
TINY = ["data.sizes={train:32,valid:16,test:16}", "trainer.max_epochs=1", *SMALL]


def commands() -> list[list[str]]:
    """The `gender-lightning ...` lines of the README's shell blocks, as words."""
    return typed_in_blocks(README)


def test_it_fits_and_names_the_two_commands() -> None:
    assert len(README.splitlines()) < 150
    assert "make train" in README
    assert "make test" in README
    assert len(commands()) >= 8


@pytest.mark.parametrize("page", ["README.md", "docs/start/quarter_hour.md"])
def test_a_mistake_is_answered_as_the_page_shows(page: str) -> None:
    (shown,) = [block for block in blocks_of((ROOT / page).read_text(), "text") if block.startswith("$ ")]
    command, _, answer = shown.partition("\n")
    with pytest.raises(UserErrors) as caught:
        check_overrides("train", command.removeprefix("$ gender-lightning train ").split())
    assert str(caught.value) == answer.strip()


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_is_valid(words: list[str]) -> None:
    verb, rest = words[0], words[1:]
    assert verb in COMMANDS
    if COMMANDS[verb].actions:
        assert rest.pop(0) in COMMANDS[verb].actions
    check_overrides(verb, rest)


def test_links_lead_to_files() -> None:
    targets = re.findall(r"\]\(([^)#\s]+)", README)
    assert len(targets) >= 8
    assert [target for target in targets if "://" not in target and not (ROOT / target).is_file()] == []


def test_the_program_parses_and_imports_what_there_is() -> None:
    (program,) = blocks_of(README, "python")
    imports = [node for node in ast.parse(program).body if isinstance(node, ast.ImportFrom)]
    assert imports
    exec(compile(ast.Module(list(imports), []), "README.md", "exec"))


def searches(words: list[str]) -> bool:
    """Those take hours, or GPUs; tests/end_to_end/test_search.py runs small ones."""
    return any(word.startswith("search=") or "interval(" in word for word in words)


# CI checks these against the schema, and trains VGG19, two processes, grids and the recipe in tests of their own.
@pytest.mark.slow
@pytest.mark.nightly
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
    command = [sys.executable, "-m", "gender_lightning", *words, *small]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=900, check=False)
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
    "population": ["minimum=10", "workers=0"],
    "predict": ["workers=0"],
    "refit": ["resamples=100"],
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
    type_in([*words, *less], house / "cache", house)
