"""The live table of a sweep; without a terminal, one line per event."""

from __future__ import annotations

import datetime
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.live import Live
from rich.markup import escape
from rich.table import Table

from gender_lightning.console import console

_ROWS = 20
_REFRESH_SECONDS = 1.0


@dataclass
class Row:
    """The row of one job or trial."""

    number: int
    text: str
    state: str = "running"
    value: float | None = None
    best: bool = False


class Board:
    """The table of running and ended jobs, the best so far and the time left. Safe to call from every slot.

    Args:
        title: The title of the table.
        total: Number of jobs in all.
        workers: Number of jobs that run at a time.
    """

    def __init__(self, title: str, *, total: int, workers: int) -> None:
        self.title = title
        self.has_ended = 0  # number of ended jobs; a search counts them in its study
        self._total, self._workers = total, workers
        self._rows: dict[int, Row] = {}
        self._begun: dict[int, float] = {}
        self._seconds: list[float] = []  # of the jobs that ran to an end
        self._lock = threading.Lock()
        self._live: Live | None = None
        self._drawn = 0.0
        self.best: tuple[int, float] | None = None

    def started(self, number: int, text: str) -> None:
        """Add a job that has started, with its parameters."""
        with self._lock:
            self._rows[number] = Row(number, text)
            self._begun[number] = time.monotonic()
        self._say(f"{number}: started  {text}")

    def progress(self, number: int, value: float) -> None:
        """Update the value of a running job after an epoch; ignored if the job belongs to another sweep."""
        with self._lock:
            if number in self._rows:
                self._rows[number].value = value

    def ended(self, number: int, state: str, value: float | None, error: str = "") -> None:
        """Record how a job ended."""
        with self._lock:
            row = self._rows[number]
            row.state, row.value = state, row.value if value is None else value
            seconds = time.monotonic() - self._begun.pop(number)
            if state in ("done", "pruned"):
                self.has_ended += 1
                self._seconds.append(seconds)
        shown = "" if row.value is None else f"  {row.value:.4f}"
        self._say(f"{number}: {state}{shown}  {_clock(seconds)}{self._left()}")
        if error:
            console.print(f"job {number} failed:\n{error}", markup=False)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the table while the sweep runs."""
        if not console.is_terminal:
            yield
            return
        with Live(self._table(), console=console, auto_refresh=False, transient=True) as self._live:
            yield
        self._live = None

    def refresh(self) -> None:
        """Redraw the table, unless it was drawn a moment ago."""
        if self._live is not None and time.monotonic() - self._drawn >= _REFRESH_SECONDS:
            self._drawn = time.monotonic()
            self._live.update(self._table(), refresh=True)

    def _table(self) -> Table:
        with self._lock:
            table = Table("", "parameters", "state", "value", "time", title=escape(self.title + self._left()))
            rows = sorted(self._rows.values(), key=lambda row: (row.state == "running", row.number))
            for row in rows[-_ROWS:]:
                begun = self._begun.get(row.number)
                passed = "" if begun is None else _clock(time.monotonic() - begun)
                value = "" if row.value is None else f"{row.value:.4f}"
                style = "bold" if self.best is not None and self.best[0] == row.number else None
                table.add_row(str(row.number), escape(row.text), row.state, value, passed, style=style)
        return table

    def _left(self) -> str:
        text = f"  {self.has_ended} of {self._total} ended"
        if self.best is not None:
            text += f", best {self.best[1]:.4f} ({self.best[0]})"
        if self._seconds:
            mean = sum(self._seconds) / len(self._seconds)
            text += f", left {_clock(mean * max(0, self._total - self.has_ended) / self._workers)}"
        return text

    def _say(self, line: str) -> None:
        if self._live is None:
            console.print(line, markup=False)


def _clock(seconds: float) -> str:
    return str(datetime.timedelta(seconds=round(seconds)))
