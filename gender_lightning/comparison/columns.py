"""The table of a comparison: each column's heading, and what it shows of a row."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gender_lightning.comparison.foreign import Foreign
from gender_lightning.comparison.scores import Score
from gender_lightning.comparison.summary import Comparison, Summary
from gender_lightning.evaluation.metric_list import Metric, metrics_of

UNKNOWN = "-"


@dataclass(frozen=True)
class Cell:
    """What is shown, beside it in small print, and what a table is sorted by."""

    text: str
    small: str = ""
    value: float | None = None

    def line(self) -> str:
        """All of it in one line."""
        return f"{self.text} ({self.small})" if self.small else self.text


@dataclass(frozen=True)
class Column:
    """A heading and its cells.

    Attributes:
        name: The heading.
        cell: Of a row.
        falling: Whether more is better.
    """

    name: str
    cell: Callable[[Summary], Cell]
    falling: bool = True


def columns_of(comparison: Comparison) -> list[Column]:
    """The columns that any row has something to show in."""
    every = [
        *(_metric_column(metric) for metric in metrics_of(place="table")),
        Column("ECE", lambda it: _plain(it.scores.get("ece"), 3), falling=False),
        Column("mCE", lambda it: _plain(it.corruption_error, 3), falling=False),
        Column("worst slice", _worst),
        Column("parameters, M", lambda it: _number(it.cost.parameters / 1e6 if it.cost else None, 2), falling=False),
        Column("GMACs", _gmacs, falling=False),
        Column("training, min", lambda it: _mean([s / 60 for s in it.training_seconds], 1), falling=False),
        Column("training, images/s", lambda it: _mean(it.training_rates, 0)),
        Column("inference, images/s here", lambda it: _number(it.inference.median if it.inference else None, 0)),
    ]
    return [it for it in every if any(it.cell(row).text != UNKNOWN for row in comparison.summaries)]


def _metric_column(metric: Metric) -> Column:
    """Metrics of decisions as percentages, others as they are."""

    def cell(summary: Summary) -> Cell:
        score = summary.scores.get(metric.name)  # none of a ranking that has no form for histograms
        return _percent(score) if score is not None and metric.kind == "decision" else _plain(score, 4)

    return Column(metric.label, cell, falling=metric.better == "max")


def count(it: Summary) -> str:
    """`3 seeds`, or the one seed; of a file of answers, that it is one."""
    if isinstance(it.row.runs[0], Foreign):
        return "file"
    return f"{it.row.n} seeds" if it.row.n > 1 else f"seed {it.row.runs[0].seed}"


def _percent(score: Score) -> Cell:
    if math.isnan(score.mean):
        return Cell(UNKNOWN)
    low, high = (100 * end for end in score.interval)
    sd = "" if score.sd is None else f" ± {100 * score.sd:.1f}"
    return Cell(f"{100 * score.mean:.1f}{sd} %", "" if math.isnan(low) else f"{low:.1f} to {high:.1f}", score.mean)


def _plain(score: Score | None, digits: int) -> Cell:
    if score is None or math.isnan(score.mean):
        return Cell(UNKNOWN)
    low, high = score.interval
    sd = "" if score.sd is None else f" ± {score.sd:.{digits}f}"
    small = "" if math.isnan(low) else f"{low:.{digits}f} to {high:.{digits}f}"
    return Cell(f"{score.mean:.{digits}f}{sd}", small, score.mean)


def _worst(it: Summary) -> Cell:
    if it.worst is None:
        return Cell(UNKNOWN)
    return Cell(f"{100 * it.worst.accuracy:.1f} %", f"{it.worst.name}, {it.worst.n} images", it.worst.accuracy)


def _gmacs(it: Summary) -> Cell:
    if it.cost is None:
        return Cell(UNKNOWN)
    small = f"{it.cost.image_size} px" + (", with mirror image" if it.cost.passes == 2 else "")
    return Cell(f"{it.cost.gmacs:.3g}", small, it.cost.gmacs)


def _mean(values: Sequence[float], digits: int) -> Cell:
    return _number(statistics.fmean(values) if values else None, digits)


def _number(value: float | None, digits: int) -> Cell:
    return Cell(UNKNOWN) if value is None else Cell(f"{value:,.{digits}f}", value=value)
