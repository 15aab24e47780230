"""The README says what is so: its commands are valid and run, its menu is conf/."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from gender_lightning import overrides
from gender_lightning.__main__ import COMMANDS, check_overrides
from gender_lightning.synthetic.faces import synthetic_faces

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
SMALL = ["data.image_size=32", "data.batch_size=16", "logger=csv"]
TINY = ["data.sizes={train:32,valid:16,test:16}", "trainer.max_epochs=1", *SMALL]


def commands() -> list[list[str]]:
    """The `gender-lightning ...` lines of the README's shell blocks, as words."""
    blocks = re.findall(r"```bash\n(.*?)```", README, flags=re.DOTALL)
    lines = [line.partition("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("gender-lightning ")]


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


def run(words: list[str], place: Path) -> subprocess.CompletedProcess[str]:
    """What it prints and how it ends when it is typed there."""
    command = [sys.executable, "-m", "gender_lightning", *words]
    return subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=900, check=False)


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
    done = run([*words, *small], tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "run directory" in done.stdout or "sweep directory" in done.stdout
    jobs = 4 if "-m" in words else 1
    assert len(list(tmp_path.glob("runs/**/metrics.json"))) == jobs


SIZES = "data.sizes={train:320,valid:64,test:64}"
TAUGHT = [SIZES, "data.batch_size=16", "augmentation=light", "trainer.max_epochs=4", "logger=csv"]  # tells some apart


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with everything that the README's commands are given: runs, a checkpoint, photographs."""
    place = tmp_path_factory.mktemp("readme")
    named = {words[1].partition("=")[2] for words in commands() if words[0] == "train" and "resume=" in words[1]}
    for seed, where in enumerate(("runs/train/A", "runs/train/B"), 1):
        typed = ["model=resnet18", "data.image_size=48", f"seed={seed}", f"run_dir={where}", *TAUGHT]
        done = run(["train", *typed], place)
        assert done.returncode == 0, done.stderr[-2000:]
    for where in named:
        shutil.copytree(place / "runs/train/A", place / where)
    shutil.copy(place / "runs/train/A/checkpoints/best.ckpt", place / "best.ckpt")
    for face, label in zip(*synthetic_faces(60, seed=4)[:2], strict=True):
        folder = place / "photos" / ("male" if label else "female")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(face).save(folder / f"{len(list(folder.iterdir()))}.jpg")
    return place


# What is typed after the README's own words to be done soon. tests/end_to_end/breaks/ resumes what was cut off,
# and tests/demo looks at the page.
LESS = {
    "evaluate": ["corruptions=none"],
    "compare": ["speed.measure=false"],
    "population": ["minimum=10"],
    "benchmark": [SIZES, "data.batch_size=8", "stages=[decode,loader]", "repeats=1"],
    "data": [SIZES],
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
    done = run([*words, *less], house)
    assert done.returncode == 0, done.stderr[-2000:]
