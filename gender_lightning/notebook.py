"""How a result shows itself in a notebook: a heading, a table and sentences, everything in them escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def as_html(
    heading: str, head: Sequence[str] = (), rows: Iterable[Sequence[str]] = (), sentences: Iterable[str] = ()
) -> str:
    """HTML for `_repr_html_`, in the style that the notebook gives to tables.

    Args:
        heading: Text in bold above the table.
        head: Names of the columns.
        rows: Cells, as many as there are columns; all but the first are aligned to the right.
        sentences: A line each, below the table.

    Example:
        >>> as_html("Run a", ["metric"], [["<b>"]])
        '<div><b>Run a</b><table><thead><tr><th style="text-align: left">metric</th></tr></thead><tbody><tr>...
    """
    body = "".join(_row("td", row) for row in rows)
    table = f"<table><thead>{_row('th', head)}</thead><tbody>{body}</tbody></table>" if body else ""
    return f"<div><b>{escape(heading)}</b>{table}{'<br>'.join(map(escape, sentences))}</div>"


def _row(tag: str, cells: Sequence[str]) -> str:
    sides = ("left", *["right"] * len(cells))
    return (
        "<tr>"
        + "".join(
            f'<{tag} style="text-align: {side}">{escape(cell)}</{tag}>'
            for side, cell in zip(sides, cells, strict=False)
        )
        + "</tr>"
    )
