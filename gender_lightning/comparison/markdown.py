"""`comparison.md`: what a README or an issue can take as it is."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gender_lightning.comparison.columns import Column, columns_of, count, fairness_columns
from gender_lightning.comparison.pairs import Pair
from gender_lightning.comparison.result import Comparison
from gender_lightning.comparison.runs.rows import Row
from gender_lightning.comparison.verdict import points, range_of
from gender_lightning.evaluation.statistics.proportions import FEWEST_PERSONS
from gender_lightning.evaluation.subgroups.fairness import FEWEST_IMAGES
from gender_lightning.evaluation.subgroups.group_words import GAP_OF_ATTRIBUTE, GAP_OF_CLASSES, LARGER_GAP

_CLASSES = ("accuracy", "recall_male", "recall_female")
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
        parts += ["## Is it fair?", _table(*_rows(comparison, fair)), fairness_note(comparison)]
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
    named = [summary.scores[name] for summary in comparison.summaries for name in _CLASSES if name in summary.scores]
    if any(math.isnan(score.interval.low) and not math.isnan(score.mean) for score in named):
        who = "people" if comparison.people is not None else "images"
        said.append(f"Accuracy or a recall without brackets is of fewer than {FEWEST_PERSONS} {who}.")
    said.append("Recall, male: the share of the men whom a model calls male; recall, female, of the women likewise.")
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


def fairness_note(comparison: Comparison) -> str:
    """What the columns of the table on fairness mean."""
    known = comparison.people is not None
    over, of_people = ("people", f" of {FEWEST_PERSONS} people") if known else ("images", "")
    said = [
        f"In brackets: 95 % intervals over {over}, where there are at least {FEWEST_PERSONS} of each class.",
        f"Men over women: {GAP_OF_CLASSES}; recognised are those whom the model calls by the class of their label.",
    ]
    if known:
        said.append("Accuracy per person: every person counts once, however many images there are of them.")
    said.append(
        "Lowest group: that of the lowest accuracy of all groups of the label and one attribute with at least "
        f"{FEWEST_IMAGES} images{of_people}, beyond chance or not. Largest gap: of all attributes, among men and among "
        f"women {GAP_OF_ATTRIBUTE}; shown is {LARGER_GAP}."
    )
    return " ".join(said)


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
