"""Figures that compare groups of images: slices and gaps with their intervals, and errors under corruptions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gender_lightning.evaluation.results import Slice
from gender_lightning.evaluation.subgroups.fairness import Fairness
from gender_lightning.evaluation.subgroups.group_words import attribute_in_words
from gender_lightning.reports.style import COLORS, CYCLE, DASHES, FEMALE, MALE, MARKERS, canvas, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

SIGNIFICANT = 0.05
_MOST = 24  # slices per figure


def forest_rows(slices: Sequence[Slice], most: int = _MOST) -> list[Slice]:
    """The slices to show in a forest plot: those that differ most from the rest, worst first.

    Slice and rest must both be large enough to judge. Of an attribute's two values, which are each other's rest, the
    one with the lower accuracy is shown.
    """
    usable = [found for found in slices if not (found.small or found.rest_small or math.isnan(found.difference.value))]
    once: dict[str, Slice] = {}
    for found in usable:
        test = found.name.removesuffix("=0").removesuffix("=1")
        if test not in once or found.difference.value < once[test].difference.value:
            once[test] = found
    chosen = sorted(once.values(), key=lambda found: -abs(found.difference.value))[:most]
    return sorted(chosen, key=lambda found: found.difference.value)


@styled
def forest(slices: Sequence[Slice]) -> Figure:
    """Plot how far each slice of `forest_rows` is from the rest in accuracy, in percentage points with intervals."""
    rows = forest_rows(slices)
    figure, axes = canvas(1.0 + 0.21 * max(len(rows), 2))
    axes.axvline(0, color=COLORS["muted"], linewidth=1)
    for position, row in enumerate(rows):
        sure = row.p_holm < SIGNIFICANT
        color = COLORS["orange" if row.difference.value < 0 else "green"] if sure else COLORS["grey"]
        low, high = 100 * row.difference.low, 100 * row.difference.high
        axes.plot([low, high], [position, position], color=color, linewidth=1.6 if sure else 1.1)
        axes.plot(100 * row.difference.value, position, "D" if sure else "o", color=color, markersize=5 if sure else 4)
    axes.set_yticks(range(len(rows)), [f"{row.words} ({row.images:,})" for row in rows], fontsize=7.5)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("difference from the rest, points")
    axes.plot([], [], "D", color=COLORS["orange"], label="worse beyond chance (Holm, 5 %)")
    axes.plot([], [], "o", color=COLORS["grey"], label="may be chance")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=2, fontsize=7.5)
    return figure


@styled
def gaps(fairness: Fairness, most: int = 12) -> Figure | None:
    """Plot, for the attributes with the largest gaps, how recall with the attribute differs from recall without it.

    In percentage points with intervals, for men and for women; None where no attribute can be judged in either class.
    """
    rows = [gap for gap in fairness.attributes if not math.isnan(gap.size)][:most]
    if not rows:
        return None
    figure, axes = canvas(1.0 + 0.36 * max(len(rows), 2))
    axes.axvline(0, color=COLORS["muted"], linewidth=1)
    for word, color, marker, shift in (("women", FEMALE, "s", -0.15), ("men", MALE, "o", 0.15)):
        found = [(place + shift, gap.female if word == "women" else gap.male) for place, gap in enumerate(rows)]
        known = [(place, gap) for place, gap in found if not math.isnan(gap.low)]
        below = [100 * max(0.0, gap.value - gap.low) for _, gap in known]
        above = [100 * max(0.0, gap.high - gap.value) for _, gap in known]
        axes.errorbar(
            [100 * gap.value for _, gap in known], [place for place, _ in known], xerr=[below, above],
            fmt=marker, color=COLORS[color], elinewidth=1.2, markersize=4, label=word,
        )  # fmt: skip
    axes.set_yticks(range(len(rows)), [attribute_in_words(row.attribute) for row in rows], fontsize=7.5)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("points more often with it than without")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=2)
    return figure


@styled
def corruption_curves(table: pd.DataFrame, group: str) -> Figure:
    """Plot accuracy over severity for each corruption of a group; severity 0 is the clean pictures.

    Where one severity alone was measured, there is nothing to draw a line through: each corruption is a point beside
    the accuracy on clean pictures.

    Args:
        table: The result of `corruption_table`.
        group: Any of its groups except ``clean``.
    """
    from matplotlib.ticker import PercentFormatter

    clean = table.loc[table["group"] == "clean", "accuracy"]
    rows = table[table["group"] == group]
    title = {"face": "Faces' own"}.get(group, group.capitalize())
    if rows["severity"].nunique() == 1:
        return _corruption_points(rows, float(clean.mean()) if len(clean) else math.nan, title)
    figure, axes = canvas(3.3)
    for number, (name, found) in enumerate(rows.groupby("corruption", sort=False)):
        x, y = [*([0] * len(clean)), *found["severity"]], [*clean, *found["accuracy"]]
        axes.plot(
            x, y, color=COLORS[CYCLE[number]], label=_words(str(name)), marker=MARKERS[number],
            linestyle=DASHES[number], linewidth=1.5, clip_on=False,
        )  # fmt: skip
    lowest = min(table["accuracy"].min(), 0.5)
    axes.set(xlim=(-0.1, 5.1), ylim=(math.floor(20 * lowest) / 20, 1), xlabel="severity", ylabel="accuracy")
    axes.set_xticks(range(6), ["clean", *"12345"])
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_title(title)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def _corruption_points(rows: pd.DataFrame, clean: float, title: str) -> Figure:
    from matplotlib.ticker import PercentFormatter

    figure, axes = canvas(1.1 + 0.26 * len(rows))
    rows = rows.sort_values("accuracy", ascending=False)
    axes.plot(
        rows["accuracy"], range(len(rows)), "o", color=COLORS["blue"], label=f"severity {rows['severity'].iloc[0]}"
    )
    if not math.isnan(clean):
        axes.axvline(clean, color=COLORS["muted"], linestyle="--", linewidth=1.2, label=f"clean pictures, {clean:.1%}")
    axes.set_yticks(range(len(rows)), [_words(str(name)) for name in rows["corruption"]])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlim(min(0.5, math.floor(20 * float(rows["accuracy"].min())) / 20), 1)
    axes.set(xlabel="accuracy", title=title)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(axis="y", visible=False)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def _words(name: str) -> str:
    return {"jpeg_compression": "JPEG", "elastic_transform": "elastic"}.get(name, name.replace("_", " "))
