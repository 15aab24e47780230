"""The figures as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gender_lightning.benchmarks.summary import Measurement
from gender_lightning.reports.style import COLORS, canvas, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OURS, COMMON = COLORS["blue"], COLORS["grey"]


@styled
def draw_chart(measurements: Sequence[Measurement], path: Path, title: str) -> None:
    """Bars of images/s, ours above the common way, on a logarithmic axis; a PNG. Seconds are left out."""
    rows = [it for it in measurements if not it.is_time]
    figure, axes = canvas(1.2 + 0.62 * len(rows), width=9)
    axes.grid(axis="y", visible=False)
    labels = []
    for position, it in enumerate(rows):
        labels.append(f"{it.stage} {it.backbone}\n({it.where})" if it.backbone else f"{it.stage}\n({it.where})")
        _bar(axes, position - 0.2, it.ours.median, OURS, "" if it.ratio is None else f"   {it.ratio:.2f}x")
        if it.common is not None:
            _bar(axes, position + 0.2, it.common.median, COMMON)
    axes.set_xscale("log")
    axes.set_yticks(range(len(rows)), labels, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("images/s, median")
    highest = max(it.ours.median for it in rows)
    axes.set_xlim(right=highest * 6)
    axes.plot([], [], "s", color=OURS, label="gender_lightning")
    axes.plot([], [], "s", color=COMMON, label="common way")
    axes.legend(loc="lower right")
    axes.set_title(title)
    figure.savefig(path)


def _bar(axes: Axes, position: float, length: float, color: str, note: str = "") -> None:
    axes.barh(position, length, 0.38, color=color)
    axes.text(length, position, f" {length:,.0f}{note}", va="center", fontsize=8)
