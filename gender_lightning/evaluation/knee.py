"""The knee of the risk-coverage curve: where abstaining stops to pay, chosen without a wanted accuracy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gender_lightning.evaluation.metrics import probabilities
from gender_lightning.evaluation.selective import confidence
from gender_lightning.evaluation.statistics.proportions import Floats

_POINTS = 200  # of a curve that is kept


@dataclass(frozen=True)
class Knee:
    """What `min_confidence=auto` means for a model, and how it came about; every person counts once.

    Attributes:
        min_confidence: Decide from this confidence on; 0 where abstaining does not pay.
        coverage: Share of what it was chosen on that is decided, in 0..1.
        risk: Share of wrong decisions among those.
        risk_of_all: Share of wrong decisions if nothing is left out.
        curve: (P, 2), coverage and risk from the surest images to all, at most 200 points.
    """

    min_confidence: float
    coverage: float
    risk: float
    risk_of_all: float
    curve: Floats


def find_knee(
    labels: ArrayLike, logits: ArrayLike, temperature: float, *, clusters: NDArray[np.int64], threshold: float = 0.5
) -> Knee:
    """The point of the curve that lies furthest below its chord, both axes scaled to 1 (Kneedle, Satopaa et al. 2011).

    The chord leads from nothing decided and nothing wrong to everything decided at the risk of all. A model whose
    confidence tells nothing has a flat curve, above the chord, and no knee: then everything is decided; likewise one
    without errors. Left of the knee each share of coverage that is given up lowers the risk by less than it does on
    average, right of it by more.

    Args:
        labels: (N,), 1 male, 0 female; at least one; of images that were not trained on, such as valid.
        logits: (N,), of male.
        temperature: The checkpoint's.
        clusters: (N,), which images are of one person, as from `clusters_of`: each person has the same weight.
        threshold: An image is male from this probability on.
    """
    probability = probabilities(logits, temperature)
    wrong = (probability >= threshold) != (np.asarray(labels).reshape(-1) == 1)
    weight = 1.0 / np.bincount(clusters)[clusters]
    sure, place = np.unique(-confidence(probability, threshold), return_inverse=True)
    decided = np.cumsum(np.bincount(place, weight))
    coverage, risk = decided / decided[-1], np.cumsum(np.bincount(place, weight * wrong)) / decided
    of_all = float(risk[-1])
    kept = np.unique(np.linspace(0, len(risk) - 1, _POINTS).round().astype(int))
    curve = np.stack([coverage[kept], risk[kept]], axis=1)
    best = int(np.argmax(coverage - risk / of_all)) if of_all else len(risk) - 1
    least = 0.0 if best == len(risk) - 1 else float(-sure[best])
    return Knee(least, float(coverage[best]), float(risk[best]), of_all, curve)
