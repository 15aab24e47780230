"""The ways to refit a head: what is chosen among, and how one of them is fitted.

`dfr` is deep feature reweighting (Kirichenko et al. 2023): logistic regressions on subsamples in which every group has
as many images, over a path of l1 and l2 penalties, averaged. `afr` is automatic feature reweighting (Qiu et al. 2023),
which weighs what the old head is unsure of and needs no groups to fit. `class_scaling` and `thresholds` leave the
directions of the old head alone; whatever does not beat them has learned nothing from the features. With two classes,
a factor on each class's probability is a constant added to the logit, so that `class_scaling` fits that constant and a
factor by log-loss, and `thresholds` moves the decision to where the worst group is best.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from gender_lightning.evaluation.metric_list import sigmoid
from gender_lightning.models.last_layer import Change, Floats
from gender_lightning.refitting.fits import (
    FitData,
    Penalty,
    afr_weights,
    balanced_rows,
    balancing_weights,
    logistic,
    scaled,
)

Name = Literal["dfr", "afr", "class_scaling", "thresholds"]
# inverses of the penalty; of l2 and old shared by all features, so that they mean the same for any number of them
_STRENGTHS: dict[Penalty, tuple[float, ...]] = {
    "l1": (1.0, 0.3, 0.1),
    "l2": (500.0, 50.0, 5.0, 0.5),
    "old": (50.0, 5.0, 0.5, 0.05),
}
_GAMMAS = (1.0, 2.0, 4.0)
_STEPS = (0.25, 0.5, 1.0)
_POWERS = (0.0, 0.25, 0.5, 0.75, 1.0)
_CUTS = 400  # thresholds that are looked at


@dataclass(frozen=True)
class Candidate:
    """A setting to choose.

    Attributes:
        penalty: See `fits.logistic`; None where the method has none.
        strength: Inverse of the penalty; except for `l1`, divided by the number of features.
        gamma: How strongly `afr` prefers images that the old head gets wrong.
        power: How far `class_scaling` balances groups, from 0 to 1.
        step: How far to go from the old head to what was fitted: 1 is all the way.
    """

    penalty: Penalty | None = None
    strength: float | None = None
    gamma: float | None = None
    power: float | None = None
    step: float | None = None

    def told(self) -> dict[str, Any]:
        """The fields that are set."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class FitSetting:
    """What the fits of all methods know beside the images.

    Attributes:
        cut: Logit from which on the old head decides male.
        most_lost: Largest fall of accuracy over all images that may be the price of the aim.
    """

    cut: float
    most_lost: float


@dataclass(frozen=True)
class Method:
    """A way to refit.

    Attributes:
        name: Name of the method, as in `method=`.
        words: What it does, as a noun phrase.
        candidates: What is fitted, to choose among.
        steps: Ways from the old head to what was fitted, to choose among; none: all the way.
        fits: Fits of the final head that are averaged.
        one: Fits once.
    """

    name: Name
    words: str
    candidates: tuple[Candidate, ...]
    steps: tuple[float, ...]
    fits: int
    one: Callable[[FitData, Candidate, np.random.Generator, FitSetting], Change]

    def fit(self, material: FitData, candidate: Candidate, seed: int, fits: int, setting: FitSetting) -> Change:
        """Fit several times, average, and go the candidate's step.

        Args:
            material: Both classes occur.
            candidate: What was chosen.
            seed: Seed of the subsamples.
            fits: Number of subsamples.
            setting: See there.
        """
        generators = (np.random.default_rng([seed, number]) for number in range(fits))
        change = Change.mean([self.one(material, candidate, generator, setting) for generator in generators])
        return change if candidate.step is None else change.step(candidate.step, setting.cut)

    def variants(self, change: Change, candidate: Candidate, setting: FitSetting) -> list[tuple[Candidate, Change]]:
        """Every step of one fit, with its candidate."""
        if not self.steps:
            return [(candidate, change)]
        return [(replace(candidate, step=step), change.step(step, setting.cut)) for step in self.steps]


def _fitted(material: FitData, candidate: Candidate, weights: Floats | None = None) -> Change:
    assert candidate.penalty is not None and candidate.strength is not None
    shared = 1 if candidate.penalty == "l1" else material.features.shape[1]
    return logistic(material, candidate.penalty, candidate.strength / shared, weights)


def _dfr(material: FitData, candidate: Candidate, generator: np.random.Generator, setting: FitSetting) -> Change:
    sample = material.select(balanced_rows(material.groups, generator))
    return _fitted(sample, candidate)


def _afr(material: FitData, candidate: Candidate, generator: np.random.Generator, setting: FitSetting) -> Change:
    assert candidate.gamma is not None
    weights = afr_weights(material.old - setting.cut, material.labels, candidate.gamma)
    return _fitted(material, candidate, weights)


def _class_scaling(
    material: FitData, candidate: Candidate, generator: np.random.Generator, setting: FitSetting
) -> Change:
    assert candidate.power is not None
    return scaled(material, balancing_weights(material.groups, candidate.power))


def _thresholds(material: FitData, candidate: Candidate, generator: np.random.Generator, setting: FitSetting) -> Change:
    found = best_cut(material, setting)
    return Change(1.0, np.zeros(material.features.shape[1]), -found)


def best_cut(material: FitData, setting: FitSetting) -> float:
    """The logit from which on to decide male, at which the worst group has the highest accuracy.

    Accuracy over all images falls by no more than may be below that at the old cut. Of several, the nearest to it.
    """
    cut = setting.cut
    levels = np.unique(np.quantile(material.old, np.linspace(0, 1, _CUTS)))
    cuts = np.r_[cut, (levels[:-1] + levels[1:]) / 2]
    sizes = np.bincount(material.groups)
    worst, right = np.ones(len(cuts)), np.zeros(len(cuts))
    for group in np.flatnonzero(sizes):
        rows = material.groups == group
        logits = np.sort(material.old[rows])
        below = np.searchsorted(logits, cuts)
        hits = len(logits) - below if material.labels[rows][0] else below
        worst, right = np.minimum(worst, hits / len(logits)), right + hits
    allowed = right >= right[0] - setting.most_lost * len(material) - 1e-9
    best = cuts[allowed & (worst >= worst[allowed].max() - 1e-12)]
    return float(best[np.abs(best - cut).argmin()])


def _grid() -> tuple[Candidate, ...]:
    return tuple(Candidate(penalty, strength) for penalty, path in _STRENGTHS.items() for strength in path)


def _afr_grid() -> tuple[Candidate, ...]:
    pairs = itertools.product(_GAMMAS, _STRENGTHS["old"][1:])
    return tuple(Candidate("old", strength, gamma) for gamma, strength in pairs)


METHODS: dict[Name, Method] = {
    method.name: method
    for method in (
        Method(
            "dfr", "logistic regressions on subsamples with as many images of every group", _grid(), _STEPS, 10, _dfr
        ),
        Method("afr", "logistic regression that weighs what the old head is unsure of", _afr_grid(), _STEPS, 1, _afr),
        Method(
            "class_scaling",
            "a factor and a constant for the old logit",
            tuple(Candidate(power=power) for power in _POWERS),
            (),
            1,
            _class_scaling,
        ),
        Method("thresholds", "the old head with the decision elsewhere", (Candidate(),), (), 1, _thresholds),
    )
}


def probability_at(cut: Floats | float, temperature: float) -> float:
    """The probability that a logit stands for."""
    return float(sigmoid(np.asarray(cut, np.float64) / temperature))
