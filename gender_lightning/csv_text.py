"""Texts of others (names of files, messages) in a CSV file: a spreadsheet takes some for formulas, and runs them."""

from __future__ import annotations

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_QUOTE = "'"  # before which a spreadsheet shows a text as it is


def cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula: a quote goes in front where one could. Not for numbers."""
    return f"{_QUOTE}{text}" if text.startswith((*_FORMULA, _QUOTE)) else text


def text_of(written: str) -> str:
    """What `cell` was given."""
    return written[1:] if written.startswith(tuple(_QUOTE + start for start in (*_FORMULA, _QUOTE))) else written
