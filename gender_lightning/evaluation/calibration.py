"""Whether a probability of 0.9 is right nine times in ten."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gender_lightning.evaluation.metric_list import sigmoid
from gender_lightning.evaluation.results import Bin
from gender_lightning.evaluation.statistics.proportions import Floats, proportion
from gender_lightning.evaluation.statistics.totals import MetricColumns

BINS = 15
_DRAWS = 1_000
_LEAST_ALIKE = 0.1  # correlation of a person's images that is allowed for
_BLOCK_ITEMS = 4_000_000  # of a block of signs or labels: bounds the memory


def equal_mass_bins(probability: ArrayLike, bins: int = BINS) -> NDArray[np.intp]:
    """Bin of each image, (N,) from 0 on, by rising probability; as many images in each, but ties stay together."""
    values = np.asarray(probability, dtype=np.float64)
    rank = np.searchsorted(np.sort(values), values)  # of the first among equals
    return np.unique(rank * bins // max(1, len(values)), return_inverse=True)[1].astype(np.intp)


def ece_columns(labels: ArrayLike, probability: ArrayLike, bins: int = BINS) -> MetricColumns:
    """Expected calibration error: mean over images of |mean probability - share of males| of their bin.

    Over bins of equal mass (Nguyen and O'Connor 2015), of the probability of male, so that both ends count; bins
    are those of the images as they are.
    """
    male, values = np.asarray(labels).astype(np.float64), np.asarray(probability, dtype=np.float64)
    place = equal_mass_bins(values, bins)
    number = int(place.max(initial=-1)) + 1
    columns = np.zeros((len(values), number + 1))
    columns[np.arange(len(values)), place] = values - male
    columns[:, number] = 1

    def error(totals: Floats) -> Floats:
        result: Floats = np.abs(totals[..., :-1]).sum(-1, keepdims=True) / totals[..., -1:]
        return result

    return MetricColumns(("ece",), columns, error)


def expected_calibration_error(labels: ArrayLike, probability: ArrayLike, bins: int = BINS) -> float:
    """The number alone, see `ece_columns`; nan without images."""
    found = ece_columns(labels, probability, bins)
    return float(found.metric(found.columns.sum(axis=0))[0]) if len(found.columns) else float("nan")


def ece_by_chance(
    labels: ArrayLike,
    probability: ArrayLike,
    groups: NDArray[np.int64] | None = None,
    bins: int = BINS,
    *,
    seed: int = 0,
) -> Floats:
    """What the ECE would be if the probabilities were right, (1000,) times.

    ECE is never negative, so that chance alone makes it positive; this says how positive. It is drawn in two ways, of
    which the one that leaves more to chance counts. Where probabilities are right, what is left of each person
    (probability less label, added up in each bin) may as well have the other sign: signs are drawn person by person, so
    that it does not matter how much the images of a person are alike. But where hardly an image is decided wrongly all
    that is left has the same sign in a bin, and other signs are always less: labels are therefore drawn too, image by
    image, from the probabilities.

    Args:
        labels: (N,), 1 male, 0 female.
        probability: (N,), of male.
        groups: (N,), codes from 0 on of which images are of one person, or of some persons together; each image alone
            by default.
        bins: Number of bins of the ECE.
        seed: Seed of the draws.
    """
    values = np.asarray(probability, dtype=np.float64)
    place = equal_mass_bins(values, bins)
    who = np.arange(len(values)) if groups is None else groups
    generator = np.random.default_rng([seed, 3])
    left = values - np.asarray(labels).astype(np.float64)
    drawn = (_with_other_signs(left, place, who, generator), _with_other_labels(values, place, generator))
    return max(drawn, key=lambda errors: float(np.quantile(errors, 0.95)))


def _with_other_signs(
    left: Floats, place: NDArray[np.intp], who: NDArray[np.int64], generator: np.random.Generator
) -> Floats:
    """ECE where each person's residuals (N,) keep their sign or change it."""
    number, persons = int(place.max()) + 1, int(who.max()) + 1
    sums = np.bincount(who * number + place, left, minlength=persons * number).reshape(persons, number)
    single = sums.astype(np.float32)
    errors = []
    for size in _blocks(persons):
        signs = generator.integers(0, 2, (size, persons), dtype=np.int8).astype(np.float32) * 2 - 1
        errors.append(np.abs(signs @ single).sum(axis=1, dtype=np.float64) / len(left))
    return np.concatenate(errors)


def _with_other_labels(values: Floats, place: NDArray[np.intp], generator: np.random.Generator) -> Floats:
    """ECE where the label of each image is drawn from its probability (N,)."""
    order = np.argsort(place, kind="stable")
    chances = values[order].astype(np.float32)
    first = np.flatnonzero(np.diff(place[order], prepend=-1))
    expected = np.add.reduceat(values[order], first)
    errors = []
    for size in _blocks(len(values)):
        males = generator.random((size, len(values)), dtype=np.float32) < chances
        counts = np.add.reduceat(males, first, axis=1, dtype=np.int64)
        errors.append(np.abs(counts - expected).sum(axis=1) / len(values))
    return np.concatenate(errors)


def _blocks(width: int) -> list[int]:
    """Numbers of draws at a time, all of them together."""
    rows = max(1, _BLOCK_ITEMS // max(1, width))
    return [min(rows, _DRAWS - start) for start in range(0, _DRAWS, rows)]


def scale_z(labels: ArrayLike, logits: ArrayLike, clusters: NDArray[np.int64] | None = None) -> float:
    """Whether logits are too large or too small throughout: standard normal if they are right, positive if too sure.

    The score test of a slope of 1 (Cox 1958), which sees a wrong scale long before the ECE's bins do. Its variance is
    that of labels drawn from the probabilities, since few errors show too little of it, and inflated by how much the
    images of a person are alike: by the correlation that is seen, but by no less than 0.1, which a hundred people with
    few errors cannot tell from none.

    Args:
        labels: (N,), 1 male, 0 female.
        logits: (N,), of male, calibrated.
        clusters: (N,), as from `clusters_of`; each image alone by default.
    """
    scores = np.asarray(logits, dtype=np.float64)
    probability = sigmoid(scores)
    left = scores * (probability - np.asarray(labels).astype(np.float64))
    spread = np.abs(scores) * np.sqrt(probability * (1 - probability))  # standard deviation of each of `left`
    alone = float((spread**2).sum())
    who = np.arange(len(scores)) if clusters is None else clusters
    pairs = float((np.bincount(who, spread) ** 2).sum()) - alone
    together = float((np.bincount(who, left) ** 2).sum() - (left**2).sum())
    alike = max(_LEAST_ALIKE, together / pairs) if pairs > 1e-12 else 0.0
    variance = alone + min(1.0, alike) * max(0.0, pairs)
    return float(left.sum()) / math.sqrt(variance) if variance > 0 else math.nan


def reliability_bins(
    labels: ArrayLike, probability: ArrayLike, clusters: NDArray[np.int64] | None = None, bins: int = BINS
) -> list[Bin]:
    """The bars of a reliability diagram, by rising probability.

    Args:
        labels: (N,), 1 male, 0 female.
        probability: (N,), of male.
        clusters: (N,), as from `clusters_of`; each image alone by default.
        bins: Number of bins.
    """
    male, values = np.asarray(labels).astype(np.bool_), np.asarray(probability, dtype=np.float64)
    who = np.arange(len(values)) if clusters is None else clusters
    place = equal_mass_bins(values, bins)
    found = []
    for number in range(int(place.max(initial=-1)) + 1):
        rows = place == number
        interval = proportion(male[rows], who[rows])
        found.append(Bin(int(rows.sum()), float(values[rows].mean()), float(male[rows].mean()), *interval))
    return found
