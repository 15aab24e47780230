"""The command line as a function, and the commands that stand on a page: in shell blocks, and in tables."""

from __future__ import annotations

import logging
import os
import re
import shlex
import sys
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path

import pytest

from gender_lightning.__main__ import main
from gender_lightning.verbs import COMMANDS

_LINE = re.compile(r"^\s*(?:srun |exec )?gender-lightning (.*)")
_LEFT_BEHIND = ("GENDER_LIGHTNING_RUN_DIR", "PL_GLOBAL_SEED", "PL_SEED_WORKERS")
_WRITE = ("write", "add to `gender-lightning train`")  # headings of the columns that hold them


def blocks_of(text: str, language: str) -> list[str]:
    """The contents of the page's blocks in a language."""
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def typed_in_blocks(text: str) -> list[list[str]]:
    """The `gender-lightning ...` lines of the shell blocks, as the words that follow the program's name."""
    lines = [line.partition("  #")[0] for block in blocks_of(text, "bash") for line in block.splitlines()]
    found = [match[1] for line in lines if (match := _LINE.match(line))]
    return [shlex.split(line.replace("$SLURM_JOB_ID", "12")) for line in found]


def typed_in_tables(text: str) -> list[list[str]]:
    """The same of the tables; `train` is understood where a cell names no command, `-m` where it is about a search."""
    found: list[list[str]] = []
    wanted = False
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        if not line.startswith("|"):
            wanted = False
        elif len(cells) > 1 and cells[1] in _WRITE:
            wanted = True
        elif wanted and len(cells) > 1:
            codes = (code for code in re.findall(r"`([^`]+)`", cells[1]) if "=" in code and ": mine." not in code)
            found += [_complete(shlex.split(code)) for code in codes]
    return found


def _complete(words: list[str]) -> list[str]:
    words = words if words[0] in COMMANDS else ["train", *words]
    if words[0] == "train" and any(word.startswith(("search.", "search/", "hydra.sweeper")) for word in words):
        words = ["train", "-m", *words[1:]] if "-m" not in words else words
        chosen = any(word.startswith("search=") for word in words)
        return words if chosen or not any(word.startswith("search") for word in words) else [*words, "search=resnet50"]
    return words


def type_in(words: Sequence[str], cache: Path, place: Path | None = None) -> None:
    """`gender-lightning ...` in this process, which stays as it was: logging, warnings, environment, directory.

    An unexpected exception ends it as it ends a process: with its traceback on standard error, and exit code 1.
    """
    handlers, level = list(logging.root.handlers), logging.root.level
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setenv("XDG_CACHE_HOME", str(cache))
        patch.setattr(sys, "argv", ["gender-lightning", *words])
        patch.chdir(place or Path.cwd())
        try:
            main()
        except Exception as error:
            traceback.print_exc()
            raise SystemExit(1) from error
        finally:
            for name in _LEFT_BEHIND:
                os.environ.pop(name, None)
            logging.root.handlers[:] = handlers
            logging.root.setLevel(level)
