"""Foreign text (file names, messages) in a CSV file: a spreadsheet would run some of it as formulas."""

from __future__ import annotations

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_QUOTE = "'"  # makes a spreadsheet show the text after it unchanged


def cell(text: str) -> str:
    """Put a quote before text that a spreadsheet could take for a formula. Not for numbers."""
    return f"{_QUOTE}{text}" if text.startswith((*_FORMULA, _QUOTE)) else text


def text_of(written: str) -> str:
    """The text that `cell` was given."""
    return written[1:] if written.startswith(tuple(_QUOTE + start for start in (*_FORMULA, _QUOTE))) else written
