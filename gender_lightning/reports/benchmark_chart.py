"""A bar chart of benchmark results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gender_lightning.benchmarks.summary import Measurement
from gender_lightning.durable import writing
from gender_lightning.reports.style import COLORS, canvas, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OURS, COMMON = COLORS["blue"], COLORS["grey"]


@styled
def draw_chart(measurements: Sequence[Measurement], path: Path, title: str) -> None:
    """Draw images/s as bars on a logarithmic axis, ours above the baseline, and save a PNG; times are left out."""
    rows = [measurement for measurement in measurements if not measurement.is_time]
    figure, axes = canvas(1.2 + 0.62 * len(rows), width=9)
    axes.grid(axis="y", visible=False)
    labels = []
    for position, row in enumerate(rows):
        labels.append(f"{row.stage} {row.backbone}\n({row.where})" if row.backbone else f"{row.stage}\n({row.where})")
        _bar(axes, position - 0.2, row.ours.median, OURS, "" if row.ratio is None else f"   {row.ratio:.2f}x")
        if row.common is not None:
            _bar(axes, position + 0.2, row.common.median, COMMON)
    axes.set_xscale("log")
    axes.set_yticks(range(len(rows)), labels, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("images/s, median")
    highest = max(row.ours.median for row in rows)
    axes.set_xlim(right=highest * 6)
    axes.plot([], [], "s", color=OURS, label="gender_lightning")
    axes.plot([], [], "s", color=COMMON, label="common way")
    axes.legend(loc="lower right")
    axes.set_title(title)
    with writing(path, "wb") as file:
        figure.savefig(file, format="png")


def _bar(axes: Axes, position: float, length: float, color: str, note: str = "") -> None:
    axes.barh(position, length, 0.38, color=color)
    axes.text(length, position, f" {length:,.0f}{note}", va="center", fontsize=8)
