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
_MOST = 30  # slices per figure


def forest_rows(slices: Sequence[Slice], most: int = _MOST) -> list[Slice]:
    """The slices to show in a forest plot: the large ones that differ most from the rest, worst first."""
    usable = [slice_ for slice_ in slices if not slice_.small and not math.isnan(slice_.difference.value)]
    chosen = sorted(usable, key=lambda slice_: -abs(slice_.difference.value))[:most]
    return sorted(chosen, key=lambda slice_: slice_.difference.value)


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
    axes.set_yticks(range(len(rows)), [f"{row.name}  ({row.images:,})" for row in rows], fontsize=7.5)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("accuracy less that of the rest, points")
    axes.plot([], [], "D", color=COLORS["orange"], label="worse beyond chance (Holm, 5 %)")
    axes.plot([], [], "o", color=COLORS["grey"], label="may be chance")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=2, fontsize=7.5)
    return figure


@styled
def corruption_curves(table: pd.DataFrame, group: str) -> Figure:
    """Plot accuracy over severity for each corruption of a group; severity 0 is the clean pictures.

    Args:
        table: The result of `corruption_table`.
        group: Any of its groups except ``clean``.
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
