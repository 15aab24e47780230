"""`refit.html`: what a new head has changed, before and after, on one self-contained page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gender_lightning.data.kinds import words_of
from gender_lightning.evaluation.measure import Measure
from gender_lightning.evaluation.subgroups.group_words import group_in_words
from gender_lightning.refitting.judging import BeforeAfter, HeadComparison
from gender_lightning.refitting.result import Refit, SplitResult
from gender_lightning.reports.page import inline_figure, percent, render, without_folders
from gender_lightning.reports.style import COLORS, canvas, styled, svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "recall_male": "recall of men",
    "recall_female": "recall of women",
    "worst_group": "worst group",
}
_METHODS = {
    "dfr": "Deep feature reweighting (Kirichenko et al. 2023)",
    "afr": "Automatic feature reweighting (Qiu et al. 2023)",
    "class_scaling": "Class-dependent scaling",
    "thresholds": "Another threshold",
}
_HEAD = (
    {"name": "what", "text": True}, "images", "persons", "before", "after", "difference, points", "p",
)  # fmt: skip


def refit_page(result: Refit, info: Mapping[str, Any]) -> str:
    """Render the page as HTML text that loads nothing from the network.

    Args:
        result: What was found.
        info: `run.json` of the new run.
    """
    kept = "the new head" if result.head == "new" else "the old head"
    return render(
        "refit.html.j2",
        {
            "title": f"Refit of {result.source}",
            "lead": f"{result.backbone}, {result.features:,} features. {_METHODS[result.method]}, {result.words}. "
            f"The checkpoint has {kept}.",
            "verdict": [sentence.replace(" %", "\u202f%") for sentence in result.verdict()],
            "remarks": result.remarks,
            "cards": _cards(result),
            "figure": inline_figure(svg(differences(result.report), "differences"), _alt(result.report)),
            "head": list(_HEAD),
            "report_title": f"On the images of the report: {_said(result.report_part, result.data)}",
            "report": _rows(result.report),
            "report_note": _paired(result.report),
            "fit_title": f"On the fitting data: {_said(result.fit_part, result.data)}",
            "fit": _rows(result.fit),
            "fit_note": _paired(result.fit),
            "settings": _settings(result),
            "command": without_folders(str(info.get("command", ""))),
            "seconds": "; ".join(f"{name} {value:.1f} s" for name, value in result.seconds.items()),
        },
    )


def title_of(row: BeforeAfter) -> str:
    """A row's name in English."""
    return TITLES.get(row.name) or group_in_words(row.name)


@styled
def differences(judged: HeadComparison) -> Figure:
    """Plot after minus before, in percentage points with intervals over persons."""
    figure, axes = canvas(0.9 + 0.27 * len(judged.rows))
    axes.axvline(0, color=COLORS["muted"], linewidth=1)
    for place, row in enumerate(judged.rows):
        value, low, high = (100 * end for end in (row.difference.value, row.difference.low, row.difference.high))
        color = COLORS["grey" if not row.surely else "green" if value > 0 else "orange"]
        if not math.isnan(low):
            axes.plot([low, high], [place, place], color=color, linewidth=1.6 if row.surely else 1.1)
        axes.plot(value, place, "D" if row.surely else "o", color=color, markersize=5 if row.surely else 4)
    axes.set_yticks(range(len(judged.rows)), [title_of(row) for row in judged.rows], fontsize=7.5)
    axes.set_ylim(len(judged.rows) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("after minus before, points")
    axes.plot([], [], "D", color=COLORS["green"], label="better beyond chance")
    axes.plot([], [], "D", color=COLORS["orange"], label="worse beyond chance")
    axes.plot([], [], "o", color=COLORS["grey"], label="may be chance")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=3, fontsize=7)
    return figure


def _alt(judged: HeadComparison) -> str:
    told = [f"{title_of(row)} {100 * row.difference.value:+.1f} points" for row in judged.rows]
    return "After minus before: " + ", ".join(told)


def _cards(result: Refit) -> list[tuple[str, str, str]]:
    names = ["accuracy", result.aim, "recall_male", "recall_female"]
    cards = []
    for row in (result.report.row(name) for name in names):
        small = f"before {percent(row.before.value)}; {100 * row.difference.value:+.1f} points"
        cards.append((TITLES[row.name], percent(row.after.value), small))
    return cards


def _rows(judged: HeadComparison) -> list[Any]:
    return [{"cells": _cells(row), "class": _edge(row)} for row in judged.rows]


def _edge(row: BeforeAfter) -> str:
    """The colours of the figure: green for a gain beyond chance, orange for a loss."""
    return "" if not row.surely else "better" if row.difference.value > 0 else "mark"


def _cells(row: BeforeAfter) -> list[dict[str, Any]]:
    difference = row.difference.times(100)
    return [
        {"show": title_of(row), "text": True},
        {"show": f"{row.images:,}", "value": row.images},
        {"show": f"{row.persons:,}", "value": row.persons},
        _measured(row.before),
        _measured(row.after),
        _with_ends(f"{difference.value:+.2f}", difference.ends(1), difference.value),
        {"show": shown_p(row.p), "value": row.p},
    ]


def shown_p(p: float) -> str:
    """A p value; a dash where nothing was tested."""
    return "\N{EN DASH}" if math.isnan(p) else f"{p:.3f}" if p >= 0.001 else "below 0.001"


def _measured(measure: Measure) -> dict[str, Any]:
    return _with_ends(percent(measure.value, 2), measure.ends(1, 100), measure.value)


def _with_ends(text: str, ends: str, value: float) -> dict[str, Any]:
    from markupsafe import Markup

    small = ends.replace(" ", "\N{NO-BREAK SPACE}")
    show = Markup('{}<br><span class="note">{}</span>').format(text, small) if small else text
    return {"show": show, "value": value}


def _paired(judged: HeadComparison) -> str:
    test = judged.paired
    return (
        f"{test.only_second:,} images are decided rightly only after, {test.only_first:,} only before (McNemar's exact "
        f"test, which takes images as independent: p {_equals(test.p)})."
    )


def _equals(p: float) -> str:
    return shown_p(p) if p < 0.001 else f"= {p:.3f}"


def _said(part: SplitResult, data: str) -> str:
    persons = "persons unknown" if part.persons is None else f"{part.persons:,} persons"
    return (
        f"{' and '.join(part.splits)} of {words_of(data).shown}, {part.images:,} images ({part.images - part.males:,} "
        f"female, {part.males:,} male), {persons}"
    )


def _settings(result: Refit) -> list[list[Any]]:
    chosen = ", ".join(f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
                       for name, value in result.chosen.items()) or "nothing to choose"  # fmt: skip
    groups = ", ".join(f"{group_in_words(name)} {count:,}" for name, count in result.groups.items())
    lines = [
        ("chosen within the fitting data", chosen),
        ("groups, fitting images", groups),
        ("to be raised", TITLES[result.aim]),
        ("price in accuracy, at most", f"{100 * result.most_lost:.2f} points"),
        ("temperature", f"{result.temperature[0]:.3f} before, {result.temperature[1]:.3f} with the new head"),
        ("threshold", f"{result.threshold[0]:.3f} before, {result.threshold[1]:.3f} with the new head"),
        ("kept by", f"keep={result.kept_by}"),
    ]
    return [[{"show": name, "text": True}, {"show": value, "text": True}] for name, value in lines]
