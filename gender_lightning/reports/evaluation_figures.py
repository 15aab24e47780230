"""All figures of an evaluation, saved as files or embedded in its page with a caption and alternative text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gender_lightning.evaluation.results import Evaluation
from gender_lightning.evaluation.statistics.intervals import clusters_of
from gender_lightning.evaluation.subgroups.group_words import attribute_in_words
from gender_lightning.evaluation.subgroups.properties import FROM_LANDMARKS, FROM_PIXELS
from gender_lightning.reports import figures, group_figures
from gender_lightning.reports.fairness_words import gap_text
from gender_lightning.reports.page import inline_figure, percent
from gender_lightning.reports.style import save, svg
from gender_lightning.reports.words import with_interval

if TYPE_CHECKING:
    import pandas as pd
    from markupsafe import Markup
    from matplotlib.figure import Figure

DIRECTORY = "figures"


@dataclass(frozen=True)
class EvaluationFigures:
    """One figure.

    Attributes:
        name: File name without its suffix.
        section: The part of the page it belongs to: fair, good, sure, slices or corruptions.
        figure: The matplotlib figure.
        caption: How to read it.
        alt: Alternative text: what the figure shows.
    """

    name: str
    section: str
    figure: Figure
    caption: str
    alt: str

    def inline(self) -> Markup:
        """The figure as inline SVG."""
        return inline_figure(svg(self.figure, self.name), self.alt)


def draw_all(evaluation: Evaluation, table: pd.DataFrame, corruptions: pd.DataFrame | None) -> list[EvaluationFigures]:
    """Draw every figure for which there is data.

    Args:
        evaluation: The numbers.
        table: The predictions table, with measured image properties as columns.
        corruptions: The result of `corruption_table`; None where corruptions were not measured.
    """
    found = [*_fair(evaluation), *_overall(evaluation, table), *_trust(evaluation), *_groups(evaluation, table)]
    if corruptions is not None:
        found += _corruptions(corruptions)
    return found


def save_all(drawn: list[EvaluationFigures], directory: Path) -> None:
    """Save each figure as SVG and PNG in `directory`/figures."""
    for item in drawn:
        save(item.figure, directory / DIRECTORY, item.name)


def _overall(evaluation: Evaluation, table: pd.DataFrame) -> Iterator[EvaluationFigures]:
    labels, scores = table["label"].to_numpy(), table["probability"].to_numpy()
    metrics = evaluation.metrics
    male, female = with_interval(metrics["recall_male"]), with_interval(metrics["recall_female"])
    yield EvaluationFigures(
        "confusion", "good", figures.confusion(labels, scores >= 0.5, ("female", "male")),
        "Counts of labels and decisions; the percentages are of a row.",
        f"Confusion matrix. Of the females {female} are called female, of the males {male} male.",
    )  # fmt: skip
    if 0 < evaluation.males < evaluation.images:
        area, average = metrics["auroc"].value, metrics["average_precision"].value
        yield EvaluationFigures(
            "roc", "good", figures.roc(labels, scores, area),
            "What other thresholds would give: up and to the left is better.",
            f"ROC curve with an area of {area:.4f} under it.",
        )  # fmt: skip
        yield EvaluationFigures(
            "precision_recall", "good", figures.precision_recall(labels, scores, average),
            "Of those called male, how many are; and how many of the males are found.",
            f"Precision-recall curve with an average precision of {average:.4f}.",
        )  # fmt: skip


def _trust(evaluation: Evaluation) -> Iterator[EvaluationFigures]:
    calibration, selective = evaluation.calibration, evaluation.selective
    yield EvaluationFigures(
        "reliability", "sure", figures.reliability(calibration),
        "On the dotted line a probability means what it says. Bins hold equally many images; bars are 95 % intervals "
        f"over {'images' if evaluation.persons is None else 'persons'}, where a bin has ten.",
        f"Reliability diagram; the expected calibration error is {calibration.ece.value:.4f}.",
    )  # fmt: skip
    if selective.coverage:
        chosen = [one for one in selective.guaranteed if one.coverage > 0]
        text = "; ".join(
            f"{percent(one.accuracy.value)} right on {percent(one.coverage)}, chosen on valid for "
            f"{percent(one.target_accuracy)}"
            for one in chosen
        )
        yield EvaluationFigures(
            "risk_coverage", "sure", figures.risk_coverage(selective),
            "The surest images first: how many of those decided are wrong, as more and more are decided. Marked are "
            "confidences that were chosen on valid, and what came of them here.",
            f"Risk over coverage. {text or 'No confidence was chosen on valid'}.",
        )  # fmt: skip


def _groups(evaluation: Evaluation, table: pd.DataFrame) -> Iterator[EvaluationFigures]:
    shown = group_figures.forest_rows(evaluation.slices)
    if shown:
        yield EvaluationFigures(
            "slices", "slices", group_figures.forest(evaluation.slices),
            f"The {len(shown)} slices that differ most from the rest of the images, the worst on top (number of images "
            "in brackets); bars are 95 % intervals. Of an attribute's two values the worse is shown. Where slice or "
            "rest is small, the slice is in the table below only.",
            f"Forest plot of {len(shown)} slices, from {shown[0].words}, {100 * shown[0].difference.value:.1f} points, "
            f"to {shown[-1].words}, {100 * shown[-1].difference.value:+.1f} points.",
        )  # fmt: skip
    measured = {name: table[name].to_numpy() for name in (*FROM_PIXELS, *FROM_LANDMARKS) if name in table.columns}
    if measured:
        wrong = (table["probability"] >= 0.5) != (table["label"] == 1)
        clusters = clusters_of(table["identity"].array, len(table))
        yield EvaluationFigures(
            "properties", "slices", figures.errors_by_fifth(measured, wrong, clusters),
            "What was measured in the pictures: the images in fifths from the lowest value to the highest, and the "
            "errors in each, with 95 % intervals. The dotted line is the error rate of all.",
            f"Error rates by fifths of {', '.join(name.replace('_', ' ') for name in measured)}.",
        )  # fmt: skip


def _fair(evaluation: Evaluation) -> Iterator[EvaluationFigures]:
    figure = None if evaluation.fairness is None else group_figures.gaps(evaluation.fairness)
    if figure is not None and evaluation.fairness is not None:
        first = evaluation.fairness.attributes[0]
        yield EvaluationFigures(
            "gaps", "fair", figure,
            "The attributes with the largest gaps. Right of 0: those with it are recognised more often than those "
            "without it, among men and among women; bars are 95 % intervals.",
            f"Gaps in recall by attribute; the largest is {attribute_in_words(first.attribute)}: in points, men "
            f"{gap_text(first.male)}, women {gap_text(first.female)}.",
        )  # fmt: skip


def _corruptions(table: pd.DataFrame) -> Iterator[EvaluationFigures]:
    for group in ("noise", "blur", "weather", "digital", "face"):
        rows = table[table["group"] == group]
        if len(rows):
            means = rows.groupby("corruption", sort=False)["accuracy"].mean()
            text = ", ".join(f"{str(name).replace('_', ' ')} {percent(value)}" for name, value in means.items())
            yield EvaluationFigures(
                f"corruptions_{group}", "corruptions", group_figures.corruption_curves(table, group),
                "", f"Accuracy over severity, corruptions of the group {group}; means: {text}.",
            )  # fmt: skip
