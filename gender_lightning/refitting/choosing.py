"""Choices within the fitting data: every choice is made on persons that the fit behind it has not seen.

An outer cross-validation over persons predicts each person by a head whose fit and whose every choice knew the other
persons alone (nested: Cawley and Talbot 2010). These predictions say what the whole procedure is worth, and temperature
and the decision for or against the new head come from them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gender_lightning.errors import UserError
from gender_lightning.evaluation.metric_list import log_losses
from gender_lightning.models.last_layer import Change, Floats
from gender_lightning.refitting.fits import FitData
from gender_lightning.refitting.methods import Candidate, FitSetting, Method

FEWEST_PERSONS = 10  # of each class, in the fitting data
_OUTER, _INNER = 5, 4  # folds
Advance = Callable[[int], None]


@dataclass(frozen=True)
class Aim:
    """What a better head is.

    Attributes:
        groups: Whether the accuracy of the worst group counts; otherwise the mean of both recalls.
        most_lost: Largest fall of accuracy over all images that may be the price.
    """

    groups: bool
    most_lost: float

    def score(self, right: NDArray[np.bool_], material: FitData) -> float:
        """What is to be raised, from whether each image is decided rightly, (N,)."""
        codes = material.groups if self.groups else material.labels.astype(np.int64)
        sizes = np.bincount(codes)
        shares = np.bincount(codes, right)[sizes > 0] / sizes[sizes > 0]
        return float(shares.min() if self.groups else shares.mean())


@dataclass(frozen=True)
class Chosen:
    """A fit with the choice behind it.

    Attributes:
        change: The new last layer.
        candidate: What was chosen.
    """

    change: Change
    candidate: Candidate


def person_folds(material: FitData, folds: int, seed: int) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Rows to fit on and rows held out, of each fold; no person is on both sides, groups are spread evenly."""
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():  # a group of fewer images than folds is spread as far as it goes
        warnings.simplefilter("ignore", UserWarning)
        return list(splitter.split(material.features, material.groups, material.persons))


def check_persons(material: FitData, what: str) -> None:
    """Refuse fitting data from which nothing can be learned of further persons.

    Raises:
        UserError: A class has images of fewer than `FEWEST_PERSONS` persons.
    """
    for label, word in enumerate(("female", "male")):
        found = len(np.unique(material.persons[material.labels == label]))
        if found < FEWEST_PERSONS:
            raise UserError(
                f"{what} have {word} images of {found} persons: a refit needs {FEWEST_PERSONS} of each class, better "
                "many more.",
                "Label more people, or give the fitting data a larger share (data.sizes).",
                field="data",
            )


def cross_fitted(
    material: FitData, method: Method, aim: Aim, cut: float, seed: int, advance: Advance = lambda done: None
) -> Floats:
    """Logits, (N,), each by a fit that has not seen the person; see the head of the module.

    Args:
        material: The fitting data.
        method: How to fit.
        aim: What a better head is.
        cut: Logit from which on the old head decides male; the new ones do so from 0 on.
        seed: Of folds and subsamples.
        advance: Called with the number of fits done.
    """
    logits = np.full(len(material), np.nan)
    for number, (fit, held_out) in enumerate(person_folds(material, _OUTER, seed)):
        found = choose_and_fit(material.select(fit), method, aim, cut, seed + number + 1, advance)
        part = material.select(held_out)
        logits[held_out] = found.change.logits(part.features, part.old)
    assert np.isfinite(logits).all(), "every person is held out once"
    return logits


def choose_and_fit(
    material: FitData, method: Method, aim: Aim, cut: float, seed: int, advance: Advance = lambda done: None
) -> Chosen:
    """Choose among the method's candidates by cross-validation over persons, and fit the best on all of these images.

    The arguments are those of `cross_fitted`.
    """
    setting = FitSetting(cut, aim.most_lost)
    best = method.candidates[0]
    if len(method.candidates) > 1:
        logits: dict[Candidate, Floats] = {}
        for fit, held_out in person_folds(material, _INNER, seed):
            part, other = material.select(fit), material.select(held_out)
            for candidate in method.candidates:
                change = method.fit(part, candidate, seed, 1, setting)
                for variant, changed in method.variants(change, candidate, setting):
                    kept = logits.setdefault(variant, np.full(len(material), np.nan))
                    kept[held_out] = changed.logits(other.features, other.old)
                advance(1)
        best = _best(logits, material, aim, cut)
    change = method.fit(material, best, seed, method.fits, setting)
    advance(1)
    return Chosen(change, best)


def _best(logits: Mapping[Candidate, Floats], material: FitData, aim: Aim, cut: float) -> Candidate:
    """The highest aim of those that cost no more accuracy than may be; of several, the least log-loss."""
    before = float(((material.old >= cut) == material.labels).mean())

    def rank(candidate: Candidate) -> tuple[bool, float, float]:
        right = (logits[candidate] >= 0) == material.labels
        lost = before - float(right.mean())
        dear = lost > aim.most_lost + 1e-12
        told = -lost if dear else round(aim.score(right, material), 9)
        return not dear, told, -_balanced_loss(logits[candidate], material)

    return max(logits, key=rank)


def _balanced_loss(logits: Floats, material: FitData) -> float:
    """Log-loss in which every group counts the same."""
    sizes = np.bincount(material.groups)
    sums = np.bincount(material.groups, log_losses(material.labels, logits))
    return float((sums[sizes > 0] / sizes[sizes > 0]).mean())


def number_of_fits(method: Method) -> int:
    """How many fits `cross_fitted` and a `choose_and_fit` after it report."""
    inner = _INNER * len(method.candidates) if len(method.candidates) > 1 else 0
    return (_OUTER + 1) * (inner + 1)
