"""Figures that compare groups of images: slices with their intervals, and errors under corruptions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gender_lightning.evaluation.summary import Slice
from gender_lightning.reports.style import COLORS, CYCLE, DASHES, MARKERS, canvas, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

SIGNIFICANT = 0.05
_MOST = 30  # slices in a figure


def forest_rows(slices: Sequence[Slice], most: int = _MOST) -> list[Slice]:
    """The slices that a forest plot shows: those that are not small and differ most from their rest, worst first."""
    usable = [it for it in slices if not it.small and not math.isnan(it.difference.value)]
    chosen = sorted(usable, key=lambda it: -abs(it.difference.value))[:most]
    return sorted(chosen, key=lambda it: it.difference.value)


@styled
def forest(slices: Sequence[Slice]) -> Figure:
    """Difference of each slice's accuracy from its rest in points, with its interval; `forest_rows` says which."""
    rows = forest_rows(slices)
    figure, axes = canvas(1.0 + 0.21 * max(len(rows), 2))
    axes.axvline(0, color=COLORS["muted"], linewidth=1)
    for position, it in enumerate(rows):
        sure = it.p_holm < SIGNIFICANT
        color = COLORS["orange" if it.difference.value < 0 else "green"] if sure else COLORS["grey"]
        low, high = 100 * it.difference.low, 100 * it.difference.high
        axes.plot([low, high], [position, position], color=color, linewidth=1.6 if sure else 1.1)
        axes.plot(100 * it.difference.value, position, "D" if sure else "o", color=color, markersize=5 if sure else 4)
    axes.set_yticks(range(len(rows)), [f"{it.name}  ({it.images:,})" for it in rows], fontsize=7.5)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("accuracy less that of the rest, points")
    axes.plot([], [], "D", color=COLORS["orange"], label="worse beyond chance (Holm, 5 %)")
    axes.plot([], [], "o", color=COLORS["grey"], label="may be chance")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=2, fontsize=7.5)
    return figure


@styled
def corruption_curves(table: pd.DataFrame, group: str) -> Figure:
    """Accuracy over severity for each corruption of a group, from the clean pictures at 0.

    Args:
        table: Of `corruption_table`.
        group: One of its groups but ``clean``.
    """
    from matplotlib.ticker import PercentFormatter

    figure, axes = canvas(3.3)
    clean = table.loc[table["group"] == "clean", "accuracy"]
    rows = table[table["group"] == group]
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
    axes.set_title({"face": "Faces' own"}.get(group, group.capitalize()))
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def _words(name: str) -> str:
    return {"jpeg_compression": "JPEG", "elastic_transform": "elastic"}.get(name, name.replace("_", " "))
