"""From which probability on an image is decided male: chosen on valid, and moved from 0.5 only where that is known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gender_lightning.evaluation.metric_list import sigmoid
from gender_lightning.evaluation.metrics import fit_threshold
from gender_lightning.evaluation.predictions import attributes_of
from gender_lightning.evaluation.statistics.intervals import clusters_of
from gender_lightning.evaluation.statistics.proportions import FEWEST_PERSONS, Floats, persons_in
from gender_lightning.evaluation.subgroups.rules import likeness_rules

if TYPE_CHECKING:
    import pandas as pd

Rule = Literal["auto", "half", "balanced", "worst_group"]
Chosen = Literal["half", "balanced", "worst_group"]
FEWEST_IMAGES = 50  # of a group that a threshold is chosen for
_BEYOND_CHANCE = 2.0  # standard errors of a gain over 0.5
_ON_THE_WAY = 20  # thresholds between 0.5 and the best one that are looked at
_CANDIDATES = 1_000  # thresholds for the worst group


@dataclass(frozen=True)
class ChosenThreshold:
    """A threshold and how it came about.

    Attributes:
        value: Probability of male from which on an image is decided male.
        rule: Which rule it follows: `half` is 0.5.
        said: A sentence for the log.
    """

    value: float
    rule: Chosen
    said: str


def choose_threshold(table: pd.DataFrame, temperature: float, rule: Rule = "auto") -> ChosenThreshold:
    """Choose by a rule.

    `balanced` has the highest balanced accuracy; `worst_group` the highest accuracy of the worst group: both classes
    and, where the table has CelebA's attributes, the faces that look like the other class to the stereotype, as far as
    there are enough of them. `auto` stays at 0.5 unless balanced accuracy gains more than chance gives (two standard
    errors over persons), and then goes no further than needed (one standard error from the best; Breiman et al. 1984).
    Balanced accuracy is a step function of few errors, whose maximum on valid promises more than new faces keep.

    Args:
        table: Predictions on valid, as of `predictions_table`.
        temperature: The checkpoint's.
        rule: See above.
    """
    labels = table["label"].to_numpy(dtype=np.bool_)
    probability = sigmoid(table["logit"].to_numpy(np.float64) / temperature)
    if rule == "half" or labels.all() or not labels.any() or np.isnan(probability).any():
        return ChosenThreshold(0.5, "half", "The threshold is 0.5.")
    clusters = clusters_of(table["identity"].array, len(table))
    if rule == "worst_group":
        groups = _groups(table, labels, clusters)
        value = _best_for_the_worst(probability, labels, groups)
        return ChosenThreshold(value, rule, f"The threshold {value:.3f} is best on valid for the worst group.")
    best = fit_threshold(probability, labels)
    if rule == "balanced":
        return ChosenThreshold(best, rule, f"The threshold {best:.3f} has the highest balanced accuracy on valid.")
    if best == 0.5:
        return ChosenThreshold(0.5, "half", "The threshold is 0.5, which has the highest balanced accuracy on valid.")
    if persons_in(clusters) < FEWEST_PERSONS:
        least = f"{FEWEST_PERSONS} {'people' if table['identity'].notna().any() else 'images'}"
        return ChosenThreshold(0.5, "half", f"The threshold stays 0.5: valid needs {least} to choose another one.")
    gain, error = balanced_gain(probability, labels, clusters, best, 0.5)
    told = f"{100 * gain:.2f} points of balanced accuracy on valid, with a standard error of {100 * error:.2f}"
    if gain <= _BEYOND_CHANCE * error:
        return ChosenThreshold(0.5, "half", f"The threshold stays 0.5: {best:.3f} gains no more than chance ({told}).")
    for value in np.linspace(0.5, best, _ON_THE_WAY + 2)[1:-1].tolist():
        left, error = balanced_gain(probability, labels, clusters, best, value)
        if left <= error:
            best = value
            break
    return ChosenThreshold(best, "balanced", f"The threshold is {best:.3f}: more than chance is gained ({told}).")


def balanced_gain(
    probability: Floats, labels: NDArray[np.bool_], clusters: NDArray[np.int64], threshold: float, base: float
) -> tuple[float, float]:
    """Compute the balanced accuracy of a threshold minus that of another, and its standard error over persons.

    Args:
        probability: (N,), of male.
        labels: (N,), male; both classes occur.
        clusters: (N,), as from `clusters_of`.
        threshold: Whose gain is meant.
        base: Over which.
    """
    better = ((probability >= threshold) == labels).astype(np.float64) - ((probability >= base) == labels)
    gain = variance = 0.0
    for rows in (labels, ~labels):
        sizes = np.bincount(clusters[rows])
        mean = float(better[rows].mean())
        residuals = np.bincount(clusters[rows], better[rows] - mean)[sizes > 0]
        number = len(residuals)
        gain += mean / 2
        variance += number / max(1, number - 1) * float((residuals**2).sum()) / float(sizes.sum()) ** 2 / 4
    return gain, math.sqrt(variance)


def _groups(table: pd.DataFrame, labels: NDArray[np.bool_], clusters: NDArray[np.int64]) -> list[NDArray[np.bool_]]:
    """Members (N,) of each group that is large enough; both classes always are among them."""
    cells = [rule.members for rule in likeness_rules(labels, attributes_of(table))]
    large = [cell for cell in cells if cell.sum() >= FEWEST_IMAGES and persons_in(clusters[cell]) >= FEWEST_PERSONS]
    return [labels, ~labels, *large]


def _best_for_the_worst(
    probability: ArrayLike, labels: NDArray[np.bool_], groups: Sequence[NDArray[np.bool_]]
) -> float:
    """The threshold with the highest accuracy of the worst group; of several, the one nearest 0.5."""
    values = np.asarray(probability, dtype=np.float64)
    levels = np.unique(np.quantile(np.r_[0.0, np.unique(values), 1.0], np.linspace(0, 1, _CANDIDATES)))
    candidates = np.r_[0.5, (levels[:-1] + levels[1:]) / 2]
    worst = np.ones(len(candidates))
    for members in groups:
        male, female = np.sort(values[members & labels]), np.sort(values[members & ~labels])
        right = len(male) - np.searchsorted(male, candidates) + np.searchsorted(female, candidates)
        worst = np.minimum(worst, right / members.sum())
    best = candidates[worst >= worst.max() - 1e-12]
    return float(best[np.abs(best - 0.5).argmin()])
