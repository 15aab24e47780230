"""The console that all commands print to, and a logger for what it has already shown."""

from __future__ import annotations

import logging

from rich.console import Console

console = Console(highlight=False, soft_wrap=True)
# Reaches only a run's log.txt: the console handler skips what the console has already shown.
record = logging.getLogger("gender_lightning.record")
