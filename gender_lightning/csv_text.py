"""Foreign text (file names, messages) in a CSV file: a spreadsheet would run some of it as formulas."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from gender_lightning.errors import UserError

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_QUOTE = "'"  # makes a spreadsheet show the text after it unchanged


def cell(text: str) -> str:
    """Put a quote before text that a spreadsheet could take for a formula. Not for numbers."""
    return f"{_QUOTE}{text}" if text.startswith((*_FORMULA, _QUOTE)) else text


def text_of(written: str) -> str:
    """The text that `cell` was given."""
    return written[1:] if written.startswith(tuple(_QUOTE + start for start in (*_FORMULA, _QUOTE))) else written


def refuse_doubled(path: Path, names: Sequence[str], used: Iterable[str], field: str | None = None) -> None:
    """Refuse a table in which a column that is read occurs twice, since nothing says which of both is meant.

    Raises:
        UserError: One does.
    """
    for name in used:
        if names.count(name) > 1:
            raise UserError(f"{path} has two columns {name}.", "Rename one of them, or leave it out.", field=field)
