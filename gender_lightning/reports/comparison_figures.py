"""The figures of a comparison: accuracy against cost, male against female recall, slices by model."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gender_lightning.comparison.result import Comparison, SliceScore, Summary
from gender_lightning.comparison.scores import Score
from gender_lightning.evaluation.measure import decimal
from gender_lightning.evaluation.subgroups.group_words import in_words
from gender_lightning.reports.style import COLORS, CYCLE, FEMALE, MALE, MARKERS, canvas, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FIGURES = ("accuracy_cost", "recalls", "slices")
MOST_NAMED = 12  # points with their names beside them
MOST_MODELS = len(CYCLE)  # as many as colours and markers tell apart
MOST_SLICES = 18
LONGEST_NAME = 22  # letters of a name beside a point
LONGEST_LINE = 60  # letters of a name in the key below


@dataclass(frozen=True)
class ComparisonFigures:
    """A figure with its file name, its caption, and its alternative text for screen readers."""

    name: str
    figure: Figure
    caption: str
    alt: str


def draw_all(comparison: Comparison) -> list[ComparisonFigures]:
    """Draw every figure for which there is data."""
    found = [_cost(comparison), _recalls(comparison), _slices(comparison)]
    return [figure for figure in found if figure is not None]


def pareto_front(costs: Sequence[float], accuracies: Sequence[float]) -> list[int]:
    """Indices of the Pareto-optimal points, by rising cost: no other point is both cheaper and more accurate.

    Args:
        costs: Lower is better.
        accuracies: Higher is better; as many as `costs`.
    """
    front: list[int] = []
    for place in sorted(range(len(costs)), key=lambda index: (costs[index], -accuracies[index])):
        if not front or accuracies[place] > accuracies[front[-1]]:
            front.append(place)
    return front


def short_names(labels: Sequence[str]) -> tuple[list[str], str]:
    """Names to stand beside points, and a key below the figure where the labels are too long for that.

    Labels such as `ResNet50 lr=0.01 weight_decay=0.05 ...` would leave no room for the points.
    """
    if max(map(len, labels), default=0) <= LONGEST_NAME:
        return list(labels), ""
    numbers = [str(number) for number in range(1, len(labels) + 1)]
    lines = (textwrap.shorten(label, LONGEST_LINE, placeholder=" ...") for label in labels)
    return numbers, "\n".join(f"{number}  {line}" for number, line in zip(numbers, lines, strict=True))


@styled
def _cost(comparison: Comparison) -> ComparisonFigures | None:
    rows = [summary for summary in comparison.summaries if summary.cost is not None]
    costs = [row.cost.gmacs for row in rows if row.cost is not None]
    if len(rows) < 2:
        return None
    accuracies = [row.scores["accuracy"].mean for row in rows]
    front = pareto_front(costs, accuracies)
    figure, axes = canvas(3.3 + (0.14 * len(rows) if max(len(row.row.label) for row in rows) > LONGEST_NAME else 0))
    axes.plot(
        [costs[place] for place in front], [100 * accuracies[place] for place in front], "--", color=COLORS["grey"],
        lw=1.2, label="Pareto front", drawstyle="steps-post",
    )  # fmt: skip
    for place, (row, cost) in enumerate(zip(rows, costs, strict=True)):
        color = COLORS["blue" if place in front else "muted"]
        y, below, above = _spread(row.scores["accuracy"])
        axes.errorbar(cost, y, [[below], [above]], fmt="o", color=color, elinewidth=1, capsize=2)
    axes.set_xscale("log")
    axes.set_xlabel("GMACs per image (logarithmic)")
    axes.set_ylabel("accuracy, %")
    axes.margins(x=0.12, y=0.12)
    named = sorted(set(range(len(rows)) if len(rows) <= MOST_NAMED else front))
    texts, key = short_names([rows[place].row.label for place in named])
    _name_points(
        axes, [(costs[place], 100 * accuracies[place], text) for place, text in zip(named, texts, strict=True)]
    )
    axes.legend(loc="lower right")
    if key:
        figure.supxlabel(key, fontsize=7.5, x=0.02, ha="left")
    names = ", ".join(rows[place].row.label for place in front)
    return ComparisonFigures(
        FIGURES[0],
        figure,
        f"Accuracy on {comparison.split} with its 95 % interval, against the multiply-adds of one decision. On the "
        f"Pareto front, where no other is both cheaper and more accurate: {names}.",
        "Accuracy against cost: "
        + "; ".join(
            f"{row.row.label} {y:.3f} at {x:.3g} GMACs" for row, x, y in zip(rows, costs, accuracies, strict=True)
        ),
    )


@styled
def _recalls(comparison: Comparison) -> ComparisonFigures:
    rows = comparison.by_accuracy()
    labels = ["\n".join(textwrap.wrap(row.row.label, LONGEST_NAME)) for row in rows]
    figure, axes = canvas(1.1 + 0.34 * len(rows) + 0.12 * sum(label.count("\n") for label in labels))
    for name, color, marker, shift in (("female", FEMALE, "s", -0.13), ("male", MALE, "o", 0.13)):
        spreads = [_spread(row.scores[f"recall_{name}"]) for row in rows]
        axes.errorbar(
            [middle for middle, _, _ in spreads],
            [place + shift for place in range(len(rows))],
            xerr=[[below for _, below, _ in spreads], [above for _, _, above in spreads]],
            fmt=marker, color=COLORS[color], elinewidth=1, capsize=2, label=name,
        )  # fmt: skip
    axes.set_yticks(range(len(rows)), labels)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("recall, %")
    figure.legend(loc="outside upper left", ncols=2)
    return ComparisonFigures(
        FIGURES[1],
        figure,
        f"Recall of either class at 0.5 with its 95 % interval. {_unequal(rows)}",
        "Recalls: "
        + "; ".join(
            f"{row.row.label} male {decimal(row.scores['recall_male'].mean, 3)}, female "
            f"{decimal(row.scores['recall_female'].mean, 3)}"
            for row in rows
        ),
    )


def _unequal(rows: Sequence[Summary]) -> str:
    """Say for how many models one class is shown to be recognised less often."""
    gaps = [row.fairness.recall_gap for row in rows if row.fairness is not None]
    lower = {"men": sum(gap.high < 0 for gap in gaps), "women": sum(gap.low > 0 for gap in gaps)}
    told = [f"{who} less often by {number} of {len(rows)}" for who, number in lower.items() if number]
    if not told:
        return "By no model is one class shown to be recognised less often than the other."
    return f"Shown beyond chance to be recognised: {', '.join(told)}."


@styled
def _slices(comparison: Comparison) -> ComparisonFigures | None:
    rows = [summary for summary in comparison.by_accuracy() if summary.slices][:MOST_MODELS]
    if not rows:
        return None
    shown = _hardest(rows)
    figure, axes = canvas(1.1 + 0.23 * len(shown) + 0.16 * len(rows))
    for place, row in enumerate(rows):
        accuracy = {slice_.name: 100 * slice_.accuracy for slice_ in row.slices}
        axes.plot(
            [accuracy[slice_.name] for slice_ in shown], range(len(shown)), MARKERS[place], color=COLORS[CYCLE[place]],
            label=row.row.label, alpha=0.85,
        )  # fmt: skip
    axes.set_yticks(range(len(shown)), [f"{in_words(slice_.name)} ({slice_.n:,})" for slice_ in shown])
    axes.invert_yaxis()
    axes.set_xlabel("accuracy, %")
    figure.legend(loc="outside upper left", ncols=2 if max(len(row.row.label) for row in rows) < 24 else 1)
    more = "" if len(rows) == len(comparison.summaries) else f" The {len(rows)} most accurate models are shown."
    return ComparisonFigures(
        FIGURES[2],
        figure,
        f"The {len(shown)} slices with the lowest mean accuracy over the models, with their images in brackets; small "
        f"slices are left out here and stand in the table.{more}",
        "Accuracy by slice, the hardest first: "
        + "; ".join(f"{in_words(slice_.name)} {_mean_on(rows, slice_.name):.3f} on average" for slice_ in shown[:6]),
    )


def _hardest(rows: Sequence[Summary]) -> list[SliceScore]:
    large = [slice_ for slice_ in rows[0].slices if not slice_.small] or list(rows[0].slices)
    return sorted(large, key=lambda slice_: _mean_on(rows, slice_.name))[:MOST_SLICES]


def _mean_on(rows: Sequence[Summary], name: str) -> float:
    values = [slice_.accuracy for row in rows for slice_ in row.slices if slice_.name == name]
    return sum(values) / len(values)


def _spread(score: Score) -> tuple[float, float, float]:
    """The mean, and how far the interval reaches below and above it, all in percent."""
    low, high = score.interval
    if low != low:
        return 100 * score.mean, 0.0, 0.0
    return 100 * score.mean, 100 * max(0.0, score.mean - low), 100 * max(0.0, high - score.mean)


def _name_points(axes: Axes, points: Sequence[tuple[float, float, str]]) -> None:
    """Label points without overlaps.

    Positions around the point are tried in turn; the first that covers no other label or point is used.
    """
    from matplotlib.transforms import Bbox

    figure = axes.figure
    figure.draw_without_rendering()  # type: ignore[union-attr]
    taken = [Bbox.from_bounds(x - 3, y - 3, 6, 6) for x, y in (axes.transData.transform(point[:2]) for point in points)]
    inside = axes.get_window_extent()
    places = [(6, 4, "left"), (-6, 4, "right"), (6, -11, "left"), (-6, -11, "right")]
    places += [(side, up, how) for up in (15, -22, 26, -33, 37) for side, how in ((6, "left"), (-6, "right"))]
    for x, y, name in points:
        for right, up, how in places:
            text = axes.annotate(
                name, (x, y), (right, up), textcoords="offset points", ha=how, fontsize=7.5, color=COLORS["ink"]
            )
            box = text.get_window_extent()
            if inside.x0 <= box.x0 and box.x1 <= inside.x1 + 4 and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                break
            text.remove()
        else:
            axes.annotate(name, (x, y), (6, 4), textcoords="offset points", fontsize=7.5, color=COLORS["ink"])
