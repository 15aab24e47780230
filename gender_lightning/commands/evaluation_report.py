"""What `evaluate` prints: the numbers with their intervals, and in words what stands out."""

from __future__ import annotations

import math
from collections.abc import Iterator

from rich.table import Table

from gender_lightning.console import console
from gender_lightning.evaluation.summary import Evaluation, Measure


def print_evaluation(evaluation: Evaluation) -> None:
    """A table of metrics, and a sentence each on subgroups, confidence and labels."""
    console.print(evaluation_table(evaluation))
    for sentence in sentences(evaluation):
        console.print(sentence, markup=False)


def evaluation_table(evaluation: Evaluation) -> Table:
    """One row per metric: decided at 0.5 with its interval, and at the threshold chosen on valid."""
    table = Table(title=f"{evaluation.data} {evaluation.split}", title_justify="left")
    table.add_column("metric")
    table.add_column("at 0.5", justify="right")
    table.add_column(f"{evaluation.level:.0%} interval")
    table.add_column(f"at {evaluation.calibration.threshold:.3f}", justify="right")
    for name, measure in evaluation.metrics.items():
        other = evaluation.metrics_at_threshold.get(name)
        _add(table, name, measure, "" if other is None else f"{other.value:.4f}")
    for name in ("loss", "brier", "ece"):
        _add(table, name, getattr(evaluation.calibration, name), "")
    return table


def sentences(evaluation: Evaluation) -> Iterator[str]:
    """What stands out, one line each."""
    females = evaluation.images - evaluation.males
    of = "persons unknown" if evaluation.persons is None else f"{evaluation.persons:,} persons"
    yield f"{evaluation.images:,} images: {evaluation.males:,} male, {females:,} female; {of}."
    if evaluation.worst_slice is not None:
        worst = evaluation.slice(evaluation.worst_slice.name)
        sure = "worse" if evaluation.worst_slice.significant else "not beyond chance worse"
        yield (
            f"Worst subgroup: {worst.name}, accuracy {_interval(worst.accuracy)} on {worst.images:,} images, "
            f"{sure} than {worst.rest} ({worst.rest_accuracy:.4f})."
        )
    given = [it for it in evaluation.selective.guaranteed if not math.isnan(it.min_confidence)]
    if given:
        best = given[-1]
        yield (
            f"Abstaining below confidence {best.min_confidence:.4f} (chosen on valid for {best.target_accuracy:.1%}) "
            f"leaves {best.coverage:.1%} of the images at accuracy {_interval(best.accuracy)}."
        )
    if evaluation.suspects:
        yield f"Suspect labels: {evaluation.suspects:,} (suspects.csv)."
    yield from evaluation.remarks


def _add(table: Table, name: str, measure: Measure, other: str) -> None:
    ends = "" if math.isnan(measure.low) else f"{measure.low:.4f} to {measure.high:.4f}"
    table.add_row(name, f"{measure.value:.4f}", ends, other)


def _interval(measure: Measure) -> str:
    return f"{measure.value:.4f} ({measure.low:.4f} to {measure.high:.4f})"
