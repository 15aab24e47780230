"""Whether a probability of 0.9 is right nine times in ten."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gender_lightning.evaluation.statistics.intervals import Floats, wilson
from gender_lightning.evaluation.statistics.tallies import Tally
from gender_lightning.evaluation.summary import Bin

BINS = 15
_DRAWS = 1_000


def equal_mass_bins(probability: ArrayLike, bins: int = BINS) -> NDArray[np.intp]:
    """Bin of each image, (N,) from 0 on, by rising probability; as many images in each, but ties stay together."""
    values = np.asarray(probability, dtype=np.float64)
    rank = np.searchsorted(np.sort(values), values)  # of the first among equals
    return np.unique(rank * bins // max(1, len(values)), return_inverse=True)[1].astype(np.intp)


def ece_tally(labels: ArrayLike, probability: ArrayLike, bins: int = BINS, name: str = "ece") -> Tally:
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
    return Tally((name,), columns, lambda totals: np.abs(totals[..., :-1]).sum(-1, keepdims=True) / totals[..., -1:])


def expected_calibration_error(labels: ArrayLike, probability: ArrayLike, bins: int = BINS) -> float:
    """The number alone, see `ece_tally`; nan without images."""
    tally = ece_tally(labels, probability, bins)
    return float(tally.metric(tally.columns.sum(axis=0))[0]) if len(tally.columns) else float("nan")


def ece_by_chance(probability: ArrayLike, bins: int = BINS, *, seed: int = 0) -> Floats:
    """What the ECE would be if every probability were right: labels are drawn from it, (1000,) times.

    ECE is never negative, so that noise alone makes it positive; this says how positive.
    """
    values = np.asarray(probability, dtype=np.float64)
    place = equal_mass_bins(values, bins)
    number = int(place.max()) + 1
    expected = np.bincount(place, values, minlength=number)
    generator = np.random.default_rng([seed, 3])
    drawn = np.empty((_DRAWS, number))
    for row in drawn:
        row[:] = np.bincount(place, generator.random(len(values)) < values, minlength=number)
    errors: Floats = np.abs(drawn - expected).sum(axis=1) / len(values)
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
