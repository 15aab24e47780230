"""What `evaluate` prints: the numbers with their intervals, and in words what stands out."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table

from gender_lightning.console import console
from gender_lightning.evaluation.measure import decimal
from gender_lightning.evaluation.result_tables import at_own_threshold, measures_of, why_one_threshold
from gender_lightning.evaluation.results import Evaluation
from gender_lightning.reports.fairness_words import count, gap_sentence


def print_evaluation(evaluation: Evaluation) -> None:
    """A table of metrics, and a sentence each on subgroups, confidence and labels."""
    console.print(evaluation_table(evaluation))
    for sentence in sentences(evaluation):
        console.print(sentence, markup=False)


def evaluation_table(evaluation: Evaluation) -> Table:
    """One row per metric: decided at 0.5 with its interval, and at the model's own threshold where that is another."""
    other = at_own_threshold(evaluation)
    table = Table(title=f"{evaluation.data} {evaluation.split}", title_justify="left")
    table.add_column("metric")
    table.add_column("at 0.5", justify="right")
    table.add_column(f"{evaluation.level:.0%} interval")
    if other:
        table.add_column(f"at {evaluation.calibration.threshold:.3f}", justify="right")
    for name, measure in measures_of(evaluation).items():
        last = [decimal(other[name].value) if name in other else ""] if other else []
        table.add_row(name, decimal(measure.value), measure.ends(), *last)
    return table


def sentences(evaluation: Evaluation) -> Iterator[str]:
    """What stands out, one line each."""
    females = evaluation.images - evaluation.males
    people = "persons unknown" if evaluation.persons is None else f"{evaluation.persons:,} persons"
    yield f"{evaluation.images:,} images: {evaluation.males:,} male, {females:,} female; {people}."
    if same := why_one_threshold(evaluation):
        yield same
    if evaluation.worst_slice is not None:
        worst = evaluation.slice(evaluation.worst_slice.name)
        beyond, chance = (" beyond chance", "") if evaluation.worst_slice.significant else ("", ", which may be chance")
        yield (
            f"Worst subgroup{beyond}: {worst.words} ({worst.name}), accuracy {worst.accuracy.text()} on "
            f"{worst.images:,} images, against {decimal(worst.rest_accuracy)} of {worst.rest_words}{chance}."
        )
    if evaluation.fairness is not None:
        yield gap_sentence(evaluation.fairness, identified=evaluation.persons is not None)
    chosen = evaluation.selective.best_chosen
    if chosen is not None:
        found = f"accuracy {chosen.accuracy.text()}" if chosen.coverage > 0 else "none to judge"
        yield (
            f"Abstaining below confidence {chosen.min_confidence:.4f} (chosen on valid for "
            f"{chosen.target_accuracy:.1%}) leaves {chosen.coverage:.1%} of the images: {found}."
        )
    if evaluation.suspects:
        yield f"The model contradicts {count(evaluation.suspects, 'label')} (suspects.csv); many are its own mistakes."
    yield from evaluation.remarks
