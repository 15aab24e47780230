"""`comparison.md`: what a README or an issue can take as it is."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gender_lightning.comparison.columns import Column, columns_of, count, fairness_columns
from gender_lightning.comparison.pairs import Pair
from gender_lightning.comparison.result import Comparison
from gender_lightning.comparison.runs.rows import Row
from gender_lightning.comparison.verdict import points, range_of

MOST_PAIRS = 60  # in the Markdown; comparison.json has all


def markdown(comparison: Comparison) -> str:
    """Verdict, table, pairs and notes."""
    parts = [f"# Comparison on {setting(comparison)}", f"**{comparison.verdict.headline}**"]
    if comparison.verdict.sentences:
        parts.append("\n".join(f"- {sentence}" for sentence in comparison.verdict.sentences))
    parts.append(_table(*_rows(comparison, columns_of(comparison))))
    parts.append(" ".join(legend(comparison)))
    fair = fairness_columns(comparison)
    if fair:
        parts += ["## Is it fair?", _table(*_rows(comparison, fair)), FAIRNESS_NOTE]
    if comparison.pairs:
        parts += [
            "## Pairs",
            _table(PAIR_HEAD, [pair_cells(comparison, pair) for pair in by_evidence(comparison.pairs)]),
        ]
        if len(comparison.pairs) > MOST_PAIRS:
            parts.append(f"The {MOST_PAIRS} surest of {len(comparison.pairs)} pairs; comparison.json has all.")
    if comparison.notes:
        parts += ["## To bear in mind", "\n".join(f"- {_escaped(note)}" for note in comparison.notes)]
    return "\n\n".join(parts) + "\n"


FAIRNESS_NOTE = (
    "In brackets: 95 % intervals over people. Recall gap: recall of men minus recall of women. Accuracy per person: "
    "every person counts once, however many images there are of them. Lowest group: that of the lowest accuracy of all "
    "cells of the label and one attribute with at least 50 images of 10 people, beyond chance or not. Equalised odds: "
    "for the attribute with the largest difference, the larger of its gaps in recall among men and among women; it is "
    "never negative, so that chance alone makes it positive."
)
PAIR_HEAD = ("pair", "difference, points", "95 % interval", "p, Holm", "p, McNemar", "p, people", "verdict")


def pair_cells(comparison: Comparison, pair: Pair) -> list[str]:
    """One pair as cells of a table."""
    rows: list[Row] = comparison.rows
    return [
        f"{rows[pair.first].label} - {rows[pair.second].label}",
        points(pair.difference, comparison.images),
        range_of(pair, comparison.images),
        p_text(pair.p_holm),
        p_text(pair.p_mcnemar),
        p_text(pair.p_people),
        _verdict(pair),
    ]


def by_evidence(pairs: Sequence[Pair]) -> list[Pair]:
    """The surest first, at most `MOST_PAIRS`."""
    return sorted(pairs, key=lambda pair: (pair.p_holm, pair.p, -pair.difference))[:MOST_PAIRS]


def _verdict(pair: Pair) -> str:
    if not pair.judged:
        return "too few people"
    if not pair.differs:
        return "cannot be told apart"
    return "beats" if pair.over_seeds else "this run beat that run"


def p_text(p: float) -> str:
    """A p value with three decimals; empty where there is none."""
    if math.isnan(p):
        return ""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def setting(comparison: Comparison) -> str:
    """`1,740 test images of 100 people (celeba)`."""
    people = "" if comparison.people is None else f" of {comparison.people:,} people"
    return f"{comparison.images:,} {comparison.split} images{people} ({comparison.data})"


def legend(comparison: Comparison) -> list[str]:
    """What the columns mean, in sentences."""
    several = any(summary.row.n > 1 for summary in comparison.summaries)
    resampled = "people" if comparison.people is not None else "images, since the data do not say who is on them,"
    said = [f"In brackets: 95 % intervals over {resampled} for these very networks."]
    if several:
        said.append("± is the standard deviation over seeds.")
    if any(summary.scores.get("ece") for summary in comparison.summaries):
        said.append("ECE is the calibration error after the temperature fitted on valid, with bins of equal mass.")
    if any(summary.worst for summary in comparison.summaries):
        said.append(
            "Worst slice: the least accurate of those that are worse than their rest beyond chance; where there is "
            "none, of all that are large enough."
        )
    if any(summary.corruption_error for summary in comparison.summaries):
        said.append("mCE is the mean error over corruptions and severities, as `evaluate` measured it.")
    if any(summary.cost for summary in comparison.summaries):
        said.append("GMACs are billions of multiply-adds for one image, as it is decided about.")
    if any(summary.inference for summary in comparison.summaries):
        said.append(f"Inference was measured at the time of the comparison on {machine_text(comparison)}.")
    return said


def machine_text(comparison: Comparison) -> str:
    """The hardware of this comparison in words."""
    machine = comparison.machine
    device = ", ".join(machine.get("gpus", [])) if machine.get("accelerator") == "gpu" else ""
    device = device or f"{machine.get('cores')} cores of {machine.get('cpu')}"
    return f"{device} ({machine.get('precision')}, batch {machine.get('batch_size')}, not compiled)"


def _rows(comparison: Comparison, columns: Sequence[Column]) -> tuple[list[str], list[list[str]]]:
    head = ["model", "runs", *(column.name for column in columns)]
    rows = [
        [summary.row.label, count(summary), *(column.cell(summary).line() for column in columns)]
        for summary in comparison.by_accuracy()
    ]
    return head, rows


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(_escaped(cell) for cell in line)} |" for line in lines)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
