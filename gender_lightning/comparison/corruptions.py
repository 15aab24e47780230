"""Mean corruption errors that `evaluate` has measured, where they can be set side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gender_lightning.comparison.runs.reading import RunResult
from gender_lightning.comparison.runs.rows import Row
from gender_lightning.comparison.scores import Score
from gender_lightning.diagnostics.corruption_results import FILE, mean_corruption_error, read_corruptions

if TYPE_CHECKING:
    import pandas as pd


def corruption_errors(rows: Sequence[Row], split: str, evaluation: str | None) -> tuple[list[Score | None], str | None]:
    """Mean corruption error of each row, and a sentence where some cannot be shown.

    Only what was measured under the same conditions on as many images is set side by side; of several kinds, the one
    that most runs have.

    Args:
        rows: All of them.
        split: That they are compared on.
        evaluation: The directory below `evaluation/` that they are compared on; None for that of their own data.
    """
    tables = {
        run.name: table for row in rows for run in row.runs if (table := _table(run, split, evaluation)) is not None
    }
    if not tables:
        return [None] * len(rows), None
    kinds = {name: _conditions(table) for name, table in tables.items()}
    usual = max(kinds.values(), key=lambda kind: (list(kinds.values()).count(kind), len(kind)))
    errors = {name: mean_corruption_error(table) for name, table in tables.items() if kinds[name] == usual}
    found = []
    for row in rows:
        values = [errors[run.name] for run in row.runs if run.name in errors]
        found.append(Score(tuple(values)) if values else None)
    lacking = [row.label for row, score in zip(rows, found, strict=True) if score is None]
    if not lacking:
        return found, None
    return found, (
        f"There is no mCE of {', '.join(lacking)}: `evaluate` has not measured it there, or under other conditions "
        "than for the rest (corruptions=quick or full)."
    )


def _table(run: RunResult, split: str, evaluation: str | None) -> pd.DataFrame | None:
    name = evaluation or f"{run.config.get('data', {}).get('name')}-{split}"
    file = run.run.path / "evaluation" / name / FILE
    return read_corruptions(file) if file.is_file() else None


def _conditions(table: pd.DataFrame) -> frozenset[tuple[str, int, int]]:
    return frozenset(zip(table["corruption"], table["severity"], table["n"], strict=True))
