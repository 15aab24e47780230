"""The comparison in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gender_lightning.comparison.pairs import SIGNIFICANT, Pair
from gender_lightning.comparison.runs.rows import Row
from gender_lightning.evaluation.statistics.proportions import FEWEST_PERSONS

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
        accuracies: Mean accuracy of each row's seeds.
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
        tuple(sentence(rows, pair, len(pairs), images) for pair in ordered),
    )


_BY = {"people": "over people", "mcnemar": "by McNemar's test", "seeds": "over people and seeds"}


def sentence(rows: Sequence[Row], pair: Pair, pairs: int, images: int) -> str:
    """`ResNet50 beats VGG19 by 1.2 points (0.6 to 1.9)`, or that the two cannot be told apart.

    Where nothing is known of other seeds, it is one run that beat another and not the model.
    """
    first, second = rows[pair.first].label, rows[pair.second].label
    if not pair.judged:
        return (
            f"{first} and {second} differ by {points(pair.difference, images)} points on {images:,} images of fewer "
            f"than {FEWEST_PERSONS} people, who are too few to say more."
        )
    size = f"{points(pair.difference, images)} points ({range_of(pair, images)})"
    if pair.differs and not pair.over_seeds:
        return f"This run of {first} beat that of {second} by {size}."
    if pair.differs:
        return f"{first} beats {second} by {size}."
    apart = f"{first} and {second} cannot be told apart on {images:,} images"
    if pair.interval.low > 0:  # alone it would count
        apart += f" once all {pairs} pairs are counted" if pair.p < SIGNIFICANT else f" {_BY[pair.decided_by]}"
    return f"{apart}: {size}."


def range_of(pair: Pair, images: int) -> str:
    """The interval in points; empty where there is none."""
    if math.isnan(pair.interval.low):
        return ""
    return f"{points(pair.interval.low, images)} to {points(pair.interval.high, images)}"


def points(share: float, images: int) -> str:
    """Percentage points, with a second decimal where there are images enough for it to mean something."""
    text = f"{100 * share:.{1 if images < 10_000 else 2}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def _headline(rows: Sequence[Row], best: int, accuracy: float, with_best: Sequence[Pair]) -> str:
    name, score = rows[best].label, f"{100 * accuracy:.1f} %"
    if not all(pair.judged for pair in with_best):
        return f"{name} has the highest accuracy, {score}, but there are too few people to say which is better."
    equals = [rows[pair.second if pair.first == best else pair.first].label for pair in with_best if not pair.differs]
    beaten = len(with_best) - len(equals)
    if not equals:
        others = f"each of the {beaten} others" if beaten > 1 else rows[with_best[0].second].label
        if all(pair.over_seeds for pair in with_best):
            return f"{name} is the most accurate, {score}: it beats {others}."
        others = f"that of {others}" if beaten == 1 else others
        return f"The run of {name} is the most accurate, {score}: it beat {others}. {_ONE_RUN}"
    if all(math.isclose(pair.difference, 0, abs_tol=1e-12) for pair in with_best):
        alike = f"All {len(rows)} models" if len(rows) > 2 else f"{name} and {equals[0]}"
        return f"{alike} have the same accuracy, {score}."
    shown = equals if len(equals) <= 6 else [*equals[:5], f"{len(equals) - 5} more"]
    said = f"{name} has the highest accuracy, {score}, but cannot be told apart from {_listed(shown)}"
    if beaten == 0:
        return f"{said}: none of these models is shown to be the best."
    if not all(pair.over_seeds for pair in with_best):
        return f"{said}; its run beat that of the other {beaten if beaten > 1 else 'one'}. {_ONE_RUN}"
    return f"{said}; it beats the other {beaten if beaten > 1 else 'one'}."


_ONE_RUN = "Each model is one run, and another seed could order them otherwise."


def _alone(row: Row, accuracy: float, images: int) -> str:
    if row.n == 1:  # the folds of a cross-validation
        return (
            f"There is nothing to compare: {row.label} has an accuracy of {100 * accuracy:.1f} % on {images:,} images."
        )
    return (
        f"The {row.n} runs differ in their seed alone, so that there is nothing to compare: {row.label} has a mean "
        f"accuracy of {100 * accuracy:.1f} % on {images:,} images."
    )


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
