"""Decisions on a split beside those without the labels that are known to be doubtful; the raw figure stays first."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gender_lightning.data.rows.contradictions import contradicted
from gender_lightning.evaluation.decisions import decision_intervals
from gender_lightning.evaluation.statistics.intervals import clusters_of

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = ("accuracy", "recall_male", "recall_female")


def doubtful_rows(table: pd.DataFrame, called_wrong: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Rows whose label contradicts the other images of the person, or that a person has called wrong.

    Args:
        table: Result of `predictions_table`.
        called_wrong: (N,), from the corrections of a review.
    """
    known = table["identity"].notna().to_numpy(dtype=np.bool_)
    rows = called_wrong.copy()
    rows[known] |= contradicted(table["label"].to_numpy()[known], table["identity"].to_numpy(dtype=object)[known])
    return rows


def without_doubtful(table: pd.DataFrame, called_wrong: NDArray[np.bool_]) -> tuple[dict[str, float], str]:
    """Accuracy and recalls at 0.5 without the doubtful rows, as numbers for `Evaluation.further` and as a sentence.

    Returns:
        Both empty where no label is doubtful, or where nothing is left.
    """
    doubtful = doubtful_rows(table, called_wrong)
    if not doubtful.any() or doubtful.all():
        return {}, ""
    raw, rest = _measured(table), _measured(table[~doubtful])
    numbers = {"doubtful_labels": float(doubtful.sum())}
    numbers |= {f"{name}_without_doubtful_labels": rest[name][0] for name in _SHOWN}
    reviewed = int((doubtful & called_wrong).sum())
    which = [
        f"{n:,} {words}"
        for n, words in (
            (int(doubtful.sum()) - reviewed, "contradict the other labels of the same person"),
            (reviewed, "were called wrong by a reviewer"),
        )
        if n
    ]
    return numbers, (
        f"Without the {int(doubtful.sum()):,} doubtful labels ({', '.join(which)}) accuracy is {_shown(rest)}, with "
        f"them {_shown(raw)}. The latter is the figure to compare with others: whoever leaves out labels leaves out "
        "hard images too."
    )


def _measured(table: pd.DataFrame) -> dict[str, tuple[float, tuple[float, float]]]:
    clusters = clusters_of(table["identity"].array, len(table))
    decided = table["probability"].to_numpy(np.float64) >= 0.5
    found = decision_intervals(table["label"].to_numpy(np.int64), decided, clusters)
    return {name: (float(value), (interval.low, interval.high)) for name, (value, interval) in found.items()}


def _shown(measured: dict[str, tuple[float, tuple[float, float]]]) -> str:
    value, (low, high) = measured["accuracy"]
    return f"{value:.4f}" + ("" if math.isnan(low) else f" ({low:.4f} to {high:.4f})")
