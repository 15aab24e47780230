"""The console that all commands print to, and a logger for what it has already shown."""

from __future__ import annotations

import importlib.util
import logging
import os
from pathlib import Path

from rich.console import Console

_NOTEBOOK_WIDTH = 100


def _console() -> Console:
    """Rich would put every line of a notebook into a block of its own: there, plain text is printed as by `print`."""
    usual = Console(highlight=False, soft_wrap=True)
    if not usual.is_jupyter:
        return usual
    return Console(highlight=False, soft_wrap=True, force_jupyter=False, force_terminal=False, width=_NOTEBOOK_WIDTH)


console = _console()
# where moving bars are drawn; a notebook's are widgets
bars = Console(highlight=False) if Console().is_jupyter else console
# Reaches only a run's log.txt: the console handler skips what the console has already shown.
record = logging.getLogger("gender_lightning.record")


def redraws(console: Console) -> bool:
    """Whether a bar can be redrawn there: on a terminal, and in a notebook that has ipywidgets."""
    if console.is_jupyter:
        return importlib.util.find_spec("ipywidgets") is not None
    return console.is_terminal


def hides_bars(console: Console) -> bool:
    """Whether bars are left out: a notebook without ipywidgets would get a warning instead of each."""
    return console.is_jupyter and not redraws(console)


def shown(path: str | os.PathLike[str]) -> str:
    """A path as it is printed: relative to the working directory if it lies in it."""
    whole, here = Path(path).absolute(), Path.cwd()
    return str(whole.relative_to(here)) if whole.is_relative_to(here) else str(whole)
