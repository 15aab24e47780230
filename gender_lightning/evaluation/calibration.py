"""Whether a probability of 0.9 is right nine times in ten."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gender_lightning.evaluation.results import Bin
from gender_lightning.evaluation.statistics.proportions import Floats, wilson
from gender_lightning.evaluation.statistics.totals import MetricColumns

BINS = 15
_DRAWS = 1_000
_BLOCK_ITEMS = 4_000_000  # of a block of signs: bounds the memory


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

    ECE is never negative, so that chance alone makes it positive; this says how positive. Where probabilities are
    right, what is left of each person (probability less label, added up in each bin) may as well have the other sign:
    signs are drawn person by person, so that it does not matter how much the images of a person are alike.

    Args:
        labels: (N,), 1 male, 0 female.
        probability: (N,), of male.
        groups: (N,), codes from 0 on of which images are of one person, or of some persons together; each image alone
            by default.
        bins: Number of bins of the ECE.
        seed: Seed of the signs.
    """
    values = np.asarray(probability, dtype=np.float64)
    left = values - np.asarray(labels).astype(np.float64)
    place = equal_mass_bins(values, bins)
    number = int(place.max()) + 1
    who = np.arange(len(values)) if groups is None else groups
    persons = int(who.max()) + 1
    sums = np.bincount(who * number + place, left, minlength=persons * number).reshape(persons, number)
    generator = np.random.default_rng([seed, 3])
    errors = np.empty(_DRAWS)
    rows = max(1, _BLOCK_ITEMS // persons)
    for start in range(0, _DRAWS, rows):
        size = min(rows, _DRAWS - start)
        signs = generator.integers(0, 2, (size, persons), dtype=np.int8).astype(np.float32) * 2 - 1
        errors[start : start + size] = np.abs(signs @ sums.astype(np.float32)).sum(axis=1) / len(values)
    return errors


def reliability_bins(labels: ArrayLike, probability: ArrayLike, bins: int = BINS) -> list[Bin]:
    """The bars of a reliability diagram, by rising probability; labels and probabilities of male, both (N,)."""
    male, values = np.asarray(labels).astype(np.bool_), np.asarray(probability, dtype=np.float64)
    place = equal_mass_bins(values, bins)
    found = []
    for number in range(int(place.max(initial=-1)) + 1):
        rows = place == number
        hits, images = int(male[rows].sum()), int(rows.sum())
        low, high = wilson(hits, images)
        found.append(Bin(images, float(values[rows].mean()), hits / images, low, high))
    return found
