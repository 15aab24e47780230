"""What a command prints: bare messages, one table, no advertisements."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from gender_lightning import console as shared
from gender_lightning.commands.steps import reporting
from gender_lightning.runs import Run

METRICS = {
    "accuracy": 0.91239, "balanced_accuracy": 0.9, "recall_male": 0.8, "recall_female": 1.0, "f1": 0.9, "auroc": 0.95,
    "loss": 0.25,
}  # fmt: skip


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """A terminal of 60 columns in place of the shared one; logging is restored afterwards."""
    file = io.StringIO()
    narrow = Console(file=file, width=60, highlight=False, soft_wrap=True, force_terminal=False)
    monkeypatch.setattr(reporting, "console", narrow)
    handlers, level = list(logging.root.handlers), logging.root.level
    with warnings.catch_warnings():
        yield file
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def test_our_messages_come_bare_and_unwrapped(terminal: io.StringIO) -> None:
    reporting.set_up_logging()
    text = "W&B works offline. Sync later with: wandb sync /a/very/long/path/[bold]/" + "x" * 80
    logging.getLogger("gender_lightning.training").info("%s", text)
    logging.getLogger("gender_lightning").debug("not this")
    assert terminal.getvalue() == text + "\n"


def test_libraries_speak_from_warnings_on(terminal: io.StringIO) -> None:
    reporting.set_up_logging()
    logging.getLogger("pytorch_lightning.utilities.rank_zero").info("Tip: buy this")
    logging.getLogger("somebody").info("hello")
    logging.getLogger("somebody").warning("disk is slow")
    assert terminal.getvalue() == "disk is slow\n"


def test_setting_up_twice_prints_once(terminal: io.StringIO) -> None:
    reporting.set_up_logging()
    reporting.set_up_logging()
    logging.getLogger("gender_lightning").warning("once")
    assert terminal.getvalue() == "once\n"


def test_a_traceback_is_kept(terminal: io.StringIO) -> None:
    reporting.set_up_logging()
    try:
        raise RuntimeError("why")
    except RuntimeError:
        logging.getLogger("gender_lightning").exception("it failed")
    assert terminal.getvalue().startswith("it failed\nTraceback") and "RuntimeError: why" in terminal.getvalue()


def test_the_final_table_and_where_all_lies(terminal: io.StringIO, tmp_path: Path) -> None:
    metrics = {f"{split}/{name}": value for split in ("val", "test") for name, value in METRICS.items()}
    path = tmp_path / ("long" * 20) / "[x]"
    reporting.print_result(Run(path), metrics)
    text = terminal.getvalue()
    assert "valid" in text and "test" in text and "0.9124" in text
    assert text.endswith(f"run directory: {path}\n")


def test_without_a_test_there_is_one_column(terminal: io.StringIO, tmp_path: Path) -> None:
    reporting.print_result(Run(tmp_path), {f"val/{name}": value for name, value in METRICS.items()})
    assert "valid" in terminal.getvalue() and "test" not in terminal.getvalue().partition("run directory")[0]


def test_the_shared_console_does_not_wrap() -> None:
    assert shared.console.soft_wrap
