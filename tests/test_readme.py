"""The README says what is so: its commands are valid and run, its menu is conf/."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from gender_lightning import overrides
from gender_lightning.__main__ import COMMANDS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
TINY = ["data.sizes={train:32,valid:16,test:16}", "data.batch_size=16", "trainer.max_epochs=1", "logger=csv"]


def commands() -> list[list[str]]:
    """The `gender-lightning ...` lines of the README's shell blocks, as words."""
    blocks = re.findall(r"```bash\n(.*?)```", README, flags=re.DOTALL)
    lines = [line.partition("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("gender-lightning ")]


def table_overrides() -> list[str]:
    """The overrides of the table of what is turned every week."""
    cells = re.findall(r"^\| (`.*?`) \|", README, flags=re.MULTILINE)
    return [code for cell in cells for code in re.findall(r"`([^`]+)`", cell) if "=" in code]


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
    overrides.check(verb, rest)


@pytest.mark.parametrize("text", table_overrides())
def test_every_override_of_the_table_is_valid(text: str) -> None:
    overrides.check("train", shlex.split(text.replace("=DIR", "=somewhere")))


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
        small = ["data.limit=32", "data.batch_size=16", "trainer.max_epochs=2", "logger=csv"]
    done = subprocess.run(
        [sys.executable, "-m", "gender_lightning", *words, *small],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "run directory" in done.stdout or "sweep directory" in done.stdout
    jobs = 4 if "-m" in words else 1
    assert len(list(tmp_path.glob("runs/**/metrics.json"))) == jobs
