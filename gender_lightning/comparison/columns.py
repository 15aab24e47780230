"""The table of a comparison: each column's heading, and what it shows of a row."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gender_lightning.comparison.result import Comparison, Summary
from gender_lightning.comparison.runs.folds import joined_folds
from gender_lightning.comparison.runs.foreign import Foreign
from gender_lightning.comparison.scores import Score
from gender_lightning.evaluation.metric_list import Metric, metrics_of
from gender_lightning.evaluation.subgroups.group_words import attribute_in_words, in_words

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
        cell: What the column shows of a row.
        falling: Whether more is better.
    """

    name: str
    cell: Callable[[Summary], Cell]
    falling: bool = True


def columns_of(comparison: Comparison) -> list[Column]:
    """The columns that any row has something to show in."""
    every = [
        *(_metric_column(metric) for metric in metrics_of(place="table")),
        Column("ECE", lambda row: _plain(row.scores.get("ece"), 3), falling=False),
        Column("mCE", lambda row: _plain(row.corruption_error, 3), falling=False),
        Column("worst slice", _worst),
        Column("parameters, M", lambda row: _number(row.cost.parameters / 1e6 if row.cost else None, 2), falling=False),
        Column("GMACs", _gmacs, falling=False),
        Column("training, min", lambda row: _mean([s / 60 for s in row.training_seconds], 1), falling=False),
        Column("training, images/s", lambda row: _mean(row.training_rates, 0)),
        Column("inference, images/s here", lambda row: _number(row.inference.median if row.inference else None, 0)),
    ]
    return [column for column in every if any(column.cell(row).text != UNKNOWN for row in comparison.summaries)]


def fairness_columns(comparison: Comparison) -> list[Column]:
    """The columns of the table on fairness, without those in which no row has anything to show."""
    every = [
        Column("men over women, points", _recall_gap, falling=False),
        *([] if comparison.people is None else [Column("accuracy per person", _per_person)]),
        Column("lowest group", _worst_group),
        Column("largest gap, points", _largest_gap, falling=False),
    ]
    return [column for column in every if any(column.cell(row).text != UNKNOWN for row in comparison.summaries)]


def _metric_column(metric: Metric) -> Column:
    """Metrics of decisions as percentages, others as they are."""

    def cell(summary: Summary) -> Cell:
        score = summary.scores.get(metric.name)  # none of a ranking that has no form for histograms
        return _percent(score) if score is not None and metric.kind == "decision" else _plain(score, 4)

    return Column(metric.label, cell, falling=metric.better == "max")


def count(summary: Summary) -> str:
    """`3 seeds` or `seed 1`, with the number of folds; for a mean or a file of answers, which of these it is."""
    if isinstance(summary.row.runs[0], Foreign):
        return "file"
    if len(members := summary.row.runs[0].members) > 1:
        return f"mean of {len(members)}"
    seeds = f"{summary.row.n} seeds" if summary.row.n > 1 else f"seed {summary.row.runs[0].seed}"
    folds = joined_folds(summary.row.runs[0])
    return f"{seeds}, {folds}" if folds else seeds


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


def _worst(summary: Summary) -> Cell:
    if summary.worst is None:
        return Cell(UNKNOWN)
    return Cell(
        f"{100 * summary.worst.accuracy:.1f} %",
        f"{in_words(summary.worst.name)}, {summary.worst.n:,} images",
        summary.worst.accuracy,
    )


def _gmacs(summary: Summary) -> Cell:
    if summary.cost is None:
        return Cell(UNKNOWN)
    small = f"{summary.cost.image_size} px" + (f", {summary.cost.passes} views" if summary.cost.passes > 1 else "")
    return Cell(f"{summary.cost.gmacs:.3g}", small, summary.cost.gmacs)


def _recall_gap(summary: Summary) -> Cell:
    if summary.fairness is None or math.isnan(summary.fairness.recall_gap.value):
        return Cell(UNKNOWN)
    gap = summary.fairness.recall_gap
    return Cell(f"{100 * gap.value:+.1f}", gap.measure.ends(1, 100), gap.value)


def _per_person(summary: Summary) -> Cell:
    if summary.fairness is None:
        return Cell(UNKNOWN)
    found = summary.fairness.per_person
    return Cell(f"{100 * found.value:.1f} %", found.ends(1, 100), found.value)


def _worst_group(summary: Summary) -> Cell:
    worst = summary.fairness.worst_group if summary.fairness else None
    if worst is None:
        return Cell(UNKNOWN)
    small = _joined(f"{in_words(worst.name)}, {worst.images:,} images", worst.accuracy.ends(1, 100))
    return Cell(f"{100 * worst.accuracy.value:.1f} %", small, worst.accuracy.value)


def _largest_gap(summary: Summary) -> Cell:
    largest = summary.fairness.largest_gap if summary.fairness else None
    if largest is None:
        return Cell(UNKNOWN)
    odds = largest.equalized_odds
    small = _joined(attribute_in_words(largest.attribute), odds.ends(1, 100))
    return Cell(f"{100 * odds.value:.1f}", small, odds.value)


def _joined(*parts: str) -> str:
    """Small print; without an interval nothing stands for it."""
    return "; ".join(part for part in parts if part)


def _mean(values: Sequence[float], digits: int) -> Cell:
    return _number(statistics.fmean(values) if values else None, digits)


def _number(value: float | None, digits: int) -> Cell:
    return Cell(UNKNOWN) if value is None else Cell(f"{value:,.{digits}f}", value=value)
