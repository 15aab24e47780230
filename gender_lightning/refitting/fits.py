"""Single fits by scikit-learn, each of which gives other weights for the last layer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gender_lightning.models.last_layer import Change, Floats

Penalty = Literal["l1", "l2", "old"]
Numbers = NDArray[np.int64]
_FREE = 10.0  # liblinear penalises the constant like a coefficient of a column of this value
_MOST_STEPS = 1_000


@dataclass(frozen=True)
class FitData:
    """Images as features.

    Attributes:
        features: Inputs of the last layer, float64 (N, C).
        old: Logits of the old head, float64 (N,).
        labels: Whether male, bool (N,).
        groups: Group of each image, int64 (N,), each of one class.
        persons: Who is on it, int64 (N,), from 0 on.
        has_bias: Whether the last layer has a constant term.
    """

    features: Floats
    old: Floats
    labels: NDArray[np.bool_]
    groups: Numbers
    persons: Numbers
    has_bias: bool = True

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, rows: NDArray[np.intp]) -> FitData:
        """These images, in this order."""
        names = ("features", "old", "labels", "groups", "persons")
        return replace(self, **{name: getattr(self, name)[rows] for name in names})


def logistic(material: FitData, penalty: Penalty, strength: float, weights: Floats | None = None) -> Change:
    """Logistic regression on standardised features.

    Args:
        material: Both classes occur.
        penalty: On the coefficients: `l1`, `l2`, or `old`, which is l2 on the difference from the old head, so that a
            strong penalty gives the old head with another constant.
        strength: Inverse of the penalty, C of scikit-learn.
        weights: Weight of each image, (N,), 1 on average; None: all alike.
    """
    mean = material.features.mean(axis=0) if material.has_bias else np.zeros(material.features.shape[1])
    spread = np.sqrt(np.square(material.features - mean).mean(axis=0))
    spread[spread < 1e-9] = 1.0
    values = (material.features - mean) / spread
    if penalty == "old":
        coefficients, constant = _beside_the_old(values, material, strength, weights)
    else:
        coefficients, constant = _from_nothing(values, material, penalty, strength, weights)
    weight = coefficients / spread
    return Change(float(penalty == "old"), weight, constant - float(weight @ mean))


def _from_nothing(
    values: Floats, material: FitData, penalty: Penalty, strength: float, weights: Floats | None
) -> tuple[Floats, float]:
    from sklearn.linear_model import LogisticRegression

    further: dict[str, Any] = {"solver": "liblinear", "l1_ratio": 1, "intercept_scaling": _FREE}
    model = LogisticRegression(
        C=strength,
        fit_intercept=material.has_bias,
        max_iter=_MOST_STEPS,
        tol=1e-3,
        random_state=0,
        **(further if penalty == "l1" else {}),
    )
    model.fit(values, material.labels, sample_weight=weights)
    coefficients: Floats = model.coef_[0]
    return coefficients, float(model.intercept_[0]) if material.has_bias else 0.0


def _beside_the_old(values: Floats, material: FitData, strength: float, weights: Floats | None) -> tuple[Floats, float]:
    """What is added to the old logit: scikit-learn's objective with an offset, which it does not have."""
    from scipy.optimize import minimize
    from scipy.special import expit

    signs = np.where(material.labels, 1.0, -1.0)
    shares = np.ones(len(signs)) if weights is None else weights

    def loss_and_slope(parameters: Floats) -> tuple[float, Floats]:
        added, constant = parameters[:-1], parameters[-1]
        margins = signs * (material.old + values @ added + constant)
        loss = strength * float(shares @ np.logaddexp(0, -margins)) + float(added @ added) / 2
        pull = -strength * shares * signs * expit(-margins)
        return loss, np.r_[values.T @ pull + added, float(pull.sum()) if material.has_bias else 0.0]

    def curvature(parameters: Floats, direction: Floats) -> Floats:
        added, constant = parameters[:-1], parameters[-1]
        chance = expit(material.old + values @ added + constant)
        moved = strength * shares * chance * (1 - chance) * (values @ direction[:-1] + direction[-1])
        product: Floats = np.r_[values.T @ moved + direction[:-1], float(moved.sum()) if material.has_bias else 0.0]
        return product

    start = np.zeros(values.shape[1] + 1)
    found = minimize(loss_and_slope, start, jac=True, hessp=curvature, method="Newton-CG", options={"xtol": 1e-5}).x
    return found[:-1], float(found[-1])


def scaled(material: FitData, weights: Floats) -> Change:
    """The old head times a factor plus a constant, with the least weighted log-loss; see `logistic`."""
    narrow = replace(material, features=material.old[:, None])
    found = logistic(narrow, "l2", 1e4, weights)
    return Change(float(found.weight[0]), np.zeros(material.features.shape[1]), found.bias)


def balanced_rows(groups: Numbers, generator: np.random.Generator) -> NDArray[np.intp]:
    """As many rows of each group as the smallest has, drawn without replacement."""
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    size = min(len(rows) for rows in members)
    return np.concatenate([generator.choice(rows, size, replace=False) for rows in members])


def balancing_weights(codes: Numbers, power: float = 1.0) -> Floats:
    """Weights (N,) of mean 1 by which every code has the same sum; `power` below 1 goes only part of the way."""
    weights = np.bincount(codes).astype(np.float64)[codes] ** -power
    return np.asarray(weights / weights.mean())


def afr_weights(old: Floats, labels: NDArray[np.bool_], gamma: float) -> Floats:
    """The weights of automatic feature reweighting, (N,) of mean 1 (Qiu et al. 2023).

    Both classes weigh the same before an image counts exp(-gamma p), where p is the probability that the old model
    gives to its label.
    """
    right = 1 / (1 + np.exp(np.clip(np.where(labels, -old, old), -500, 500)))
    weights = balancing_weights(labels.astype(np.int64)) * np.exp(-gamma * right)
    return np.asarray(weights / weights.mean())
