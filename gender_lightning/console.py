"""The console that all commands print to, and a logger for what it has already shown."""

from __future__ import annotations

import importlib.util
import logging

from rich.console import Console

console = Console(highlight=False, soft_wrap=True)
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
