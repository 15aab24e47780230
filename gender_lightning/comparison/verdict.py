"""The comparison in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gender_lightning.comparison.pairs import Pair
from gender_lightning.comparison.rows import Row

MOST_SENTENCES = 10  # up to so many pairs are each spelled out; above, the best row with every other


@dataclass(frozen=True)
class Verdict:
    """What was found.

    Attributes:
        headline: Which row is best, if any can be called so.
        sentences: One on each pair, surest differences first.
    """

    headline: str
    sentences: tuple[str, ...]


def verdict(rows: Sequence[Row], accuracies: Sequence[float], pairs: Sequence[Pair], images: int) -> Verdict:
    """Put the pairs into words.

    Args:
        rows: All of them.
        accuracies: Of each row, the mean of its seeds.
        pairs: All of them.
        images: That all were compared on.
    """
    if len(rows) == 1:
        return Verdict(_alone(rows[0], accuracies[0], images), ())
    best = max(range(len(rows)), key=lambda place: accuracies[place])
    with_best = [pair for pair in pairs if best in (pair.first, pair.second)]
    told = pairs if len(pairs) <= MOST_SENTENCES else with_best
    ordered = sorted(told, key=lambda pair: (not pair.differs, -pair.difference))
    return Verdict(
        _headline(rows, best, accuracies[best], with_best),
        tuple(sentence(rows, it, len(pairs), images) for it in ordered),
    )


def sentence(rows: Sequence[Row], pair: Pair, pairs: int, images: int) -> str:
    """`ResNet50 beats VGG19 by 1.2 points (0.6 to 1.9)`, or that the two cannot be told apart."""
    first, second = rows[pair.first].label, rows[pair.second].label
    size = f"{points(pair.difference, images)} points ({range_of(pair, images)})"
    if pair.differs:
        return f"{first} beats {second} by {size}."
    apart = f"{first} and {second} cannot be told apart on {images:,} images: {size}"
    if pair.interval.low > 0:  # alone it would count
        reason = f" once all {pairs} pairs are counted" if pair.p < 0.05 else " by McNemar's test"
        apart = f"{first} and {second} cannot be told apart on {images:,} images{reason}: {size}"
    return f"{apart}."


def range_of(pair: Pair, images: int) -> str:
    """The interval in points."""
    return f"{points(pair.interval.low, images)} to {points(pair.interval.high, images)}"


def points(share: float, images: int) -> str:
    """Percentage points, with a second decimal where there are images enough for it to mean something."""
    text = f"{100 * share:.{1 if images < 10_000 else 2}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def _headline(rows: Sequence[Row], best: int, accuracy: float, with_best: Sequence[Pair]) -> str:
    name, score = rows[best].label, f"{100 * accuracy:.1f} %"
    equals = [rows[it.second if it.first == best else it.first].label for it in with_best if not it.differs]
    beaten = len(with_best) - len(equals)
    if not equals:
        others = f"each of the {beaten} others" if beaten > 1 else rows[with_best[0].second].label
        return f"{name} is the most accurate, {score}: it beats {others}."
    shown = equals if len(equals) <= 6 else [*equals[:5], f"{len(equals) - 5} more"]
    said = f"{name} has the highest accuracy, {score}, but cannot be told apart from {_listed(shown)}"
    if beaten == 0:
        return f"{said}: none of these models is shown to be the best."
    return f"{said}; it beats the other {beaten if beaten > 1 else 'one'}."


def _alone(row: Row, accuracy: float, images: int) -> str:
    return (
        f"The {row.n} runs differ in their seed alone, so that there is nothing to compare: {row.label} has a mean "
        f"accuracy of {100 * accuracy:.1f} % on {images:,} images."
    )


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
