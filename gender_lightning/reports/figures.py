"""Figures of one evaluation: curves, calibration, abstention, confusion. Each function returns a matplotlib figure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gender_lightning.evaluation.chosen_knee import ChosenKnee
from gender_lightning.evaluation.results import Bin, Calibration, Selective
from gender_lightning.evaluation.statistics.curves import Curve, confusion_matrix, precision_recall_curve, roc_curve
from gender_lightning.evaluation.statistics.proportions import proportion
from gender_lightning.reports.style import COLORS, MARKERS, WIDTH, canvas, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_POINTS = 300  # per curve: more cannot be seen and make the page heavy


@styled
def roc(labels: ArrayLike, scores: ArrayLike, area: float) -> Figure:
    """Plot the ROC curve, with the operating point at a threshold of 0.5.

    Args:
        labels: (N,), 1 male; both classes must occur.
        scores: (N,), probabilities of male.
        area: Area under the curve, shown in the legend.
    """
    curve = roc_curve(labels, scores)
    figure, axes = canvas()
    axes.plot([0, 1], [0, 1], color=COLORS["grey"], linestyle=":", linewidth=1.2, label="by chance")
    _curve(axes, curve, f"model, area {area:.4f}")
    axes.set(xlabel="females taken for males", ylabel="males found", title="ROC curve")
    _percent_axes(axes)
    axes.legend(loc="lower right")
    return figure


@styled
def precision_recall(labels: ArrayLike, scores: ArrayLike, average: float) -> Figure:
    """Plot precision over recall of the class male; arguments as for `roc`, with the average precision as `average`."""
    truth = np.asarray(labels)
    figure, axes = canvas()
    axes.axhline(truth.mean(), color=COLORS["grey"], linestyle=":", linewidth=1.2, label="by chance")
    _curve(axes, precision_recall_curve(labels, scores), f"model, average {average:.4f}")
    axes.set(xlabel="males found (recall)", ylabel="males among those called male", title="Precision and recall")
    _percent_axes(axes)
    axes.legend(loc="lower left")
    return figure


def _curve(axes: Axes, curve: Curve, label: str) -> None:
    thin = curve.thinned(_POINTS)
    axes.plot(thin.x, thin.y, color=COLORS["blue"], label=label, clip_on=False)
    decided = np.flatnonzero(curve.thresholds >= 0.5)
    if len(decided):
        # thresholds fall along a ROC and rise along precision-recall: the last of those above, or the first
        place = decided[-1] if curve.thresholds[0] > curve.thresholds[-1] else decided[0]
        point = (curve.x[place], curve.y[place])
        axes.plot(*point, "o", color=COLORS["orange"], markersize=7, label="decided at 0.5", clip_on=False, zorder=5)


@styled
def confusion(labels: ArrayLike, decided: ArrayLike, names: tuple[str, str]) -> Figure:
    """Plot the confusion matrix: counts by label and decision, shaded by the share within each row.

    Args:
        labels: (N,), 1 male.
        decided: (N,), the decisions, coded alike.
        names: Class names, label 0 first.
    """
    counts = confusion_matrix(labels, decided)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    figure, axes = canvas(2.7)
    for row in (0, 1):
        for column in (0, 1):
            color = COLORS["blue" if row == column else "orange"]
            alpha = 0.08 + 0.3 * shares[row, column]
            axes.add_patch(_square(column, row, color, alpha))
            axes.text(column, row - 0.06, f"{counts[row, column]:,}", ha="center", va="center", fontsize=15)
            axes.text(column, row + 0.24, f"{shares[row, column]:.1%}", ha="center", va="center", fontsize=9)
    axes.set(xlim=(-0.5, 1.5), ylim=(1.5, -0.5), xlabel="model says", ylabel="label", title="Confusion at 0.5")
    axes.set_xticks([0, 1], names)
    axes.set_yticks([0, 1], names, rotation=90, va="center")
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return figure


def _square(column: int, row: int, color: str, alpha: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((column - 0.48, row - 0.47), 0.96, 0.94, facecolor=color, alpha=alpha, linewidth=0)


@styled
def reliability(calibration: Calibration) -> Figure:
    """Plot a reliability diagram: share of males over predicted probability, before and after temperature scaling."""
    figure, axes = canvas(3.5)
    axes.plot([0, 1], [0, 1], color=COLORS["grey"], linestyle=":", linewidth=1.2, label="perfect")
    before, after = calibration.ece_uncalibrated.value, calibration.ece.value
    if calibration.temperature != 1:
        _bins(axes, calibration.bins_uncalibrated, "gold", "s", f"before temperature, ECE {before:.3f}", bars=False)
    _bins(axes, calibration.bins, "blue", "o", f"as it is used, ECE {after:.3f}", bars=True)
    axes.set(xlabel="predicted probability of male", ylabel="share of males", title="Reliability")
    _percent_axes(axes)
    axes.legend(loc="upper left")
    return figure


def _bins(axes: Axes, bins: list[Bin], color: str, marker: str, label: str, *, bars: bool) -> None:
    x, y = [each.predicted for each in bins], [each.observed for each in bins]
    axes.plot(x, y, marker, color=COLORS[color], label=label, clip_on=False, fillstyle="full" if bars else "none")
    if bars:
        low, high = ([abs(each.observed - end) for each, end in zip(bins, ends, strict=True)] for ends in _ends(bins))
        axes.errorbar(x, y, yerr=[low, high], fmt="none", ecolor=COLORS[color], elinewidth=1, alpha=0.6)


def _ends(bins: list[Bin]) -> tuple[list[float], list[float]]:
    return [each.low for each in bins], [each.high for each in bins]


@styled
def risk_coverage(selective: Selective) -> Figure:
    """Plot the error rate among the decided images over coverage, the most confident images first."""
    figure, axes = canvas()
    coverage, risk = np.asarray(selective.coverage), np.asarray(selective.risk)
    axes.plot(coverage, risk, color=COLORS["blue"], label=f"model, AURC {selective.aurc:.4f}")
    axes.fill_between(coverage, risk, color=COLORS["blue"], alpha=0.12, linewidth=0)
    chosen = [one for one in selective.guaranteed if one.coverage > 0]
    for one, marker in zip(chosen, MARKERS, strict=False):
        label = f"chosen on valid for {one.target_accuracy:.1%}"
        axes.plot(one.coverage, 1 - one.accuracy.value, marker, color=COLORS["orange"], label=label, markersize=6)
    if selective.knee is not None:
        _knee(axes, selective.knee)
    axes.set(xlabel="share of images that are decided", ylabel="errors among them", title="Risk and coverage")
    _percent_axes(axes)
    highest = float(np.nanmax(risk[coverage > 0.02])) if (coverage > 0.02).any() else float(np.nanmax(risk))
    axes.set_ylim(0, max(0.02, 1.15 * highest))
    axes.legend(loc="upper left")
    return figure


def _knee(axes: Axes, knee: ChosenKnee) -> None:
    """The curve of valid with its chord, and the knee on it and on this split."""
    grey = COLORS["grey"]
    axes.plot(knee.curve_coverage, knee.curve_risk, color=grey, linewidth=0.8, label="valid, over persons")
    axes.plot([0, 1], [0, knee.valid_risk_of_all], ":", color=grey, linewidth=0.8)
    axes.plot(knee.valid_coverage, knee.valid_risk, "x", color=grey, label="its knee, furthest below the dotted chord")
    if not math.isnan(knee.accuracy.value):
        axes.plot(knee.coverage, 1 - knee.accuracy.value, "X", color=COLORS["orange"], label="the knee here (auto)")


def _percent_axes(axes: Axes) -> None:
    from matplotlib.ticker import PercentFormatter

    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.yaxis.set_major_formatter(PercentFormatter(1))


@styled
def errors_by_fifth(values: Mapping[str, ArrayLike], wrong: ArrayLike, clusters: NDArray[np.int64]) -> Figure:
    """Plot, for each measured image property, the error rate in each fifth of the images, with 95 % intervals.

    Args:
        values: One (N,) array per property name; nan where it could not be measured.
        wrong: bool (N,), whether each image was misclassified.
        clusters: (N,), which images are of one person, as from `clusters_of`.
    """
    from matplotlib.figure import Figure

    mistaken = np.asarray(wrong, dtype=np.bool_)
    rows = math.ceil(len(values) / 2)
    figure = Figure(figsize=(WIDTH, 0.35 + 1.45 * rows), layout="constrained")
    panels = figure.subplots(rows, 2, squeeze=False, sharey=True).ravel()
    for axes, (name, found) in zip(panels, values.items(), strict=False):
        known = np.asarray(found, dtype=np.float64)
        for place, members in enumerate(_fifths(known)):
            share = float(mistaken[members].mean())
            low, high = proportion(mistaken[members], clusters[members])
            if not math.isnan(low):
                axes.plot([place, place], [100 * low, 100 * high], color=COLORS["blue"], linewidth=1.2)
            axes.plot(place, 100 * share, "o", color=COLORS["blue"])
        axes.axhline(100 * mistaken.mean(), color=COLORS["grey"], linestyle=":", linewidth=1.2)
        axes.set_title(name.replace("_", " "), fontsize=8.5)
        axes.set_xticks(range(5), ["lowest", "", "middle", "", "highest"], fontsize=7)
        axes.set_xlim(-0.5, 4.5)
        axes.set_ylim(bottom=0)
    for axes in panels[len(values) :]:
        axes.set_axis_off()
    figure.supylabel("errors, %", fontsize=8.5)
    return figure


def _fifths(known: NDArray[np.float64]) -> list[NDArray[np.intp]]:
    """Rows of each fifth of the images by a value, lowest first; fewer parts where fewer values differ."""
    order = np.flatnonzero(np.isfinite(known))
    if not len(order) or known[order].min() == known[order].max():
        return []
    place = np.searchsorted(np.quantile(known[order], (0.2, 0.4, 0.6, 0.8)), known[order], side="left")
    return [order[place == part] for part in range(5) if (place == part).any()]
