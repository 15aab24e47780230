"""The one terminal that commands print to, and the log that keeps what it has shown."""

from __future__ import annotations

import logging

from rich.console import Console

console = Console(highlight=False, soft_wrap=True)
# For a run's log.txt alone: the console handler leaves out what the console has shown already.
record = logging.getLogger("gender_lightning.record")
