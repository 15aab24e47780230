"""`comparison.html`: the verdict, the table, the figures, pairs, slices and runs on one page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gender_lightning.comparison.columns import Cell, columns_of, count, fairness_columns
from gender_lightning.comparison.markdown import (
    MOST_PAIRS,
    PAIR_HEAD,
    by_evidence,
    fairness_note,
    legend,
    pair_cells,
    setting,
)
from gender_lightning.comparison.pairs import Pair
from gender_lightning.comparison.result import Comparison
from gender_lightning.evaluation.subgroups.group_words import in_words
from gender_lightning.reports.comparison_figures import ComparisonFigures
from gender_lightning.reports.fairness_words import empty_left_out
from gender_lightning.reports.page import inline_figure, percent, render, without_folders
from gender_lightning.reports.style import svg


def page(comparison: Comparison, figures: Sequence[ComparisonFigures]) -> str:
    """Render the page as HTML text that loads nothing from the network."""
    columns = columns_of(comparison)
    order = comparison.by_accuracy()
    head: list[Any] = [{"name": "model", "text": True}, {"name": "runs", "text": True}]
    head += [{"name": column.name, "first": "falling" if column.falling else "rising"} for column in columns]
    rows = [
        [_named(row.row.label), {"show": count(row), "text": True}, *(_cell(column.cell(row)) for column in columns)]
        for row in order
    ]
    packages = comparison.provenance.get("packages", {})
    return render(
        "comparison.html.j2",
        {
            "title": f"{len(order)} models compared" if len(order) > 1 else f"One model, {count(order[0])}",
            "lead": f"On {setting(comparison)}, {comparison.males:,} of them male.",
            "headline": comparison.verdict.headline,
            "sentences": comparison.verdict.sentences,
            "notes": [without_folders(note) for note in comparison.notes],
            "head": head,
            "rows": rows,
            "legend": " ".join(legend(comparison)),
            **_fairness(comparison),
            "figures": [
                {"svg": inline_figure(svg(drawn.figure, drawn.name), drawn.alt), "caption": drawn.caption}
                for drawn in figures
            ],
            "pair_note": _pair_note(comparison),
            "pair_head": [
                {"name": PAIR_HEAD[0], "text": True},
                *PAIR_HEAD[1:-1],
                {"name": PAIR_HEAD[-1], "text": True},
            ],
            "pairs": [_pair_row(comparison, pair) for pair in by_evidence(comparison.pairs)],
            **_slices(comparison),
            "run_head": [{"name": "run", "text": True}, {"name": "model", "text": True}, "seed", "accuracy", "minutes"],
            "runs": _runs(comparison),
            "command": without_folders(str(comparison.provenance.get("command", ""))),
            "versions": ", ".join(f"{name} {version}" for name, version in packages.items() if version),
        },
    )


def _named(text: str) -> dict[str, Any]:
    return {"show": text, "text": True}


def _cell(cell: Cell) -> dict[str, Any]:
    from markupsafe import Markup

    text, small = (_unbroken(part) for part in (cell.text, cell.small))
    show = Markup('{}<br><span class="note">{}</span>').format(text, small) if small else text
    return {"show": show, "value": cell.value}


def _unbroken(text: str) -> str:
    """Replace the spaces inside of intervals and before units by such at which no line ends."""
    for part in (" to ", " ± ", " %"):
        text = text.replace(part, part.replace(" ", "\N{NO-BREAK SPACE}"))
    return text


def _pair_row(comparison: Comparison, pair: Pair) -> dict[str, Any]:
    texts = pair_cells(comparison, pair)
    values: list[float | None] = [
        None, pair.difference, pair.interval.low, pair.p_holm, pair.p_mcnemar, pair.p_people, None,
    ]  # fmt: skip
    cells = [
        {"show": text, "text": True} if value is None else {"show": text, "value": value}
        for text, value in zip(texts, values, strict=True)
    ]
    return {"cells": cells, "class": "" if pair.differs else "faint"}


def _pair_note(comparison: Comparison) -> str:
    several = any(pair.over_seeds for pair in comparison.pairs)
    said = [
        "The interval is for each pair alone; Holm's p is adjusted for all pairs, and below 0.05 the first is said to "
        "beat the second. Of two single runs the larger p of McNemar's exact test and of the test over people counts."
    ]
    if several:
        said.append(
            "Where a row has several seeds, its mean is compared, and the spread of the seeds is part of interval and "
            "p (a single run borrows that of other rows); McNemar's p is then the median over all pairs of runs, for "
            "information."
        )
    if len(comparison.pairs) > MOST_PAIRS:
        said.append(f"The {MOST_PAIRS} surest of {len(comparison.pairs)} pairs are shown; comparison.json has all.")
    return " ".join(said)


def _slices(comparison: Comparison) -> dict[str, Any]:
    """Rows of slices, hardest first, and columns of models, shaded by how far below the model's own accuracy."""
    models = [model for model in comparison.by_accuracy() if model.slices]
    if not models:
        return {"slice_head": [], "slices": [], "slices_left_out": ""}
    head: list[Any] = [{"name": "slice", "text": True}, {"name": "of", "text": True}, {"name": "images"}]
    rows = []
    for place, first in enumerate(models[0].slices):
        cells: list[Any] = [{"show": in_words(first.name), "text": True, "tag": "few images" if first.small else ""}]
        cells += [{"show": first.heading, "text": True}, {"show": f"{first.n:,}", "value": first.n}]
        for model in models:
            accuracy = model.slices[place].accuracy
            below = max(0.0, model.scores["accuracy"].mean - accuracy)
            shade = min(45, round(300 * below))
            style = f"background: color-mix(in srgb, var(--orange) {shade}%, transparent)" if shade else ""
            cells.append({"show": percent(accuracy), "value": accuracy, "style": style})
        mean = sum(model.slices[place].accuracy for model in models) / len(models)
        rows.append((mean, {"cells": cells, "class": "faint" if first.small else ""}))
    return {
        "slice_head": head + [model.row.label for model in models],
        "slices": [row for _, row in sorted(rows, key=lambda pair: pair[0])],
        "slices_left_out": empty_left_out(comparison.slice_sizes, "slice"),
    }


def _fairness(comparison: Comparison) -> dict[str, Any]:
    columns = fairness_columns(comparison)
    head: list[Any] = [{"name": "model", "text": True}]
    head += [{"name": column.name, "first": "falling" if column.falling else "rising"} for column in columns]
    rows = [
        [_named(summary.row.label), *(_cell(column.cell(summary)) for column in columns)]
        for summary in comparison.by_accuracy()
    ]
    return {"fair_head": head, "fair": rows if columns else [], "fair_note": fairness_note(comparison)}


def _runs(comparison: Comparison) -> list[list[Any]]:
    rows = []
    for summary in comparison.by_accuracy():
        for place, run in enumerate(summary.row.runs):
            accuracy = summary.scores["accuracy"].values[place]
            seconds = run.info.get("seconds")
            minutes = {"show": "-" if seconds is None else f"{seconds / 60:.1f}", "value": seconds}
            shown = {"show": percent(accuracy), "value": accuracy}
            rows.append([_named(run.name), _named(summary.row.label), str(run.seed), shown, minutes])
    return rows
