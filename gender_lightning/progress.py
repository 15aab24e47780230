"""Progress bars as plain callables, the form in which parts report progress."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn

from gender_lightning.console import bars, hides_bars


def bar_on(console: Console, *columns: ProgressColumn, **options: Any) -> Progress:
    """A progress bar; in a notebook it leaves standard output alone, which is another place than the bar's there."""
    return Progress(
        *columns, console=console, redirect_stdout=not console.is_jupyter, disable=hides_bars(console), **options
    )


@contextmanager
def progress_bar(description: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar from the first report on; yields a function that takes (done, total)."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = bar_on(bars, *columns)
    task = bar.add_task(description, total=None)

    def report(done: int, total: int) -> None:
        bar.start()
        bar.update(task, completed=done, total=total)

    try:
        yield report
    finally:
        bar.stop()


@contextmanager
def counting_bar(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a transient bar of `total` steps; yields a function that takes the number of steps just completed."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with bar_on(bars, *columns, transient=True) as bar:
        task = bar.add_task(description, total=total)
        yield lambda done: bar.advance(task, done)
