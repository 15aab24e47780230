"""Fits are scikit-learn's; a head is chosen on persons that its fits have not seen."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gender_lightning.errors import UserError
from gender_lightning.models.last_layer import Change
from gender_lightning.refitting import fits
from gender_lightning.refitting.choosing import Aim, check_persons, choose_and_fit, cross_fitted, person_folds
from gender_lightning.refitting.fits import FitData, afr_weights, balanced_rows, balancing_weights, logistic
from gender_lightning.refitting.methods import METHODS, FitSetting, best_cut

AIM = Aim(groups=True, most_lost=1.0)


def spurious(n: int = 900, seed: int = 0) -> FitData:
    """Features of which the second tells the label weakly and the first a token that goes with it nine times in ten.

    The old head has learned the token, as a network does whose training data had it.
    """
    rng = np.random.default_rng(seed)
    persons = np.arange(n) // 3
    labels = rng.random(n) < 0.5
    token = np.where(rng.random(n) < 0.9, labels, ~labels)
    signs = np.stack([token, labels, rng.random(n) < 0.5], axis=1) * 2.0 - 1
    features = signs * [2.0, 1.5, 1.0] + rng.normal(0, 1, (n, 3)) * [0.3, 0.9, 1.0]
    old = 2.0 * features[:, 0] + 0.2 * features[:, 1]
    return FitData(features, old, labels, 2 * labels + token.astype(np.int64), persons)


def accuracies(logits: np.ndarray, material: FitData) -> np.ndarray:
    right = (logits >= 0) == material.labels
    return np.bincount(material.groups, right) / np.bincount(material.groups)


@pytest.mark.parametrize(("penalty", "solver"), [("l1", "liblinear"), ("l2", "lbfgs")])
@pytest.mark.parametrize("weighted", [False, True])
def test_logits_are_the_decision_function_of_scikit_learn(penalty: str, solver: str, weighted: bool) -> None:
    material = spurious(240)
    weights = balancing_weights(material.groups) if weighted else None
    further = {"l1_ratio": 1, "intercept_scaling": 10.0} if penalty == "l1" else {}
    model = LogisticRegression(C=0.1, solver=solver, max_iter=1000, random_state=0, tol=1e-3, **further)
    theirs = make_pipeline(StandardScaler(), model)
    theirs.fit(material.features, material.labels, logisticregression__sample_weight=weights)
    ours = logistic(material, penalty, 0.1, weights)  # type: ignore[arg-type]
    assert np.allclose(ours.logits(material.features, material.old), theirs.decision_function(material.features))


def test_the_penalty_towards_the_old_head_leads_from_it_to_scikit_learns_fit() -> None:
    material = spurious(300)
    strong = logistic(material, "old", 1e-9)
    assert strong.scale == 1 and np.abs(strong.weight).max() < 1e-5
    nothing = FitData(material.features, np.zeros(300), material.labels, material.groups, material.persons)
    free = logistic(nothing, "old", 0.1).logits(material.features, nothing.old)
    theirs = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, tol=1e-8)).fit(
        material.features, material.labels
    )
    assert np.allclose(free, theirs.decision_function(material.features), atol=1e-3)


def test_weights_and_subsamples_are_those_of_the_papers() -> None:
    groups = np.array([0] * 5 + [1] * 20 + [2] * 9)
    rows = balanced_rows(groups, np.random.default_rng(1))
    assert np.bincount(groups[rows]).tolist() == [5, 5, 5] and len(set(rows.tolist())) == 15
    assert np.allclose(np.bincount(groups, balancing_weights(groups)), 34 / 3)
    old, labels = np.array([3.0, -2.0, 1.0, 0.0]), np.array([True, True, False, False])
    right = np.array([1 / (1 + np.exp(-3)), 1 / (1 + np.exp(2)), 1 - 1 / (1 + np.exp(-1)), 0.5])
    expected = np.exp(-2 * right)  # as many images of each class
    assert np.allclose(afr_weights(old, labels, 2.0), expected / expected.mean())


def test_a_layer_without_a_constant_gets_none() -> None:
    material = spurious(240)
    plain = FitData(*(getattr(material, name) for name in ("features", "old", "labels", "groups", "persons")), False)
    assert all(logistic(plain, penalty, 0.1).bias == 0 for penalty in ("l1", "l2", "old"))


@pytest.mark.parametrize("name", ["dfr", "afr"])
def test_the_worst_group_of_a_spurious_correlation_becomes_better(name: str) -> None:
    fitted, fresh = spurious(), spurious(3000, seed=9)
    found = choose_and_fit(fitted, METHODS[name], AIM, 0.0, seed=0)  # type: ignore[index]
    before, after = accuracies(fresh.old, fresh), accuracies(found.change.logits(fresh.features, fresh.old), fresh)
    assert before.min() < 0.2
    assert after.min() > (0.85 if name == "dfr" else 0.5)


def test_honest_logits_come_from_fits_without_the_person() -> None:
    """Labels of noise can be learned by heart alone: held-out persons are then guessed."""
    rng = np.random.default_rng(4)
    n = 200
    labels = np.repeat(rng.random(n // 2) < 0.5, 2)
    persons, codes = np.repeat(np.arange(n // 2), 2), labels.astype(np.int64)
    features = np.repeat(rng.normal(size=(n // 2, 150)), 2, axis=0)  # both pictures of a person are the same
    material = FitData(features, rng.normal(size=n), labels, codes, persons)
    aim = Aim(groups=False, most_lost=1.0)
    honest = cross_fitted(material, METHODS["dfr"], aim, 0.0, seed=0)
    seen = choose_and_fit(material, METHODS["dfr"], aim, 0.0, seed=0).change.logits(features, material.old)
    assert accuracies(seen, material).mean() > 0.75
    assert accuracies(honest, material).mean() < 0.65
    for fit, held_out in person_folds(material, 5, 0):
        assert not set(persons[fit]) & set(persons[held_out])


def test_no_more_accuracy_is_paid_than_may_be() -> None:
    material = spurious()
    for name in ("class_scaling", "thresholds"):
        free = cross_fitted(material, METHODS[name], AIM, 0.0, seed=0)  # type: ignore[index]
        assert np.isfinite(free).all()
    cheap, dear = (best_cut(material, FitSetting(0.0, most)) for most in (0.0, 1.0))
    right = [((material.old >= cut) == material.labels).mean() for cut in (0.0, cheap, dear)]
    worst = [accuracies(material.old - cut, material).min() for cut in (0.0, cheap, dear)]
    assert right[1] >= right[0] and worst[0] <= worst[1] <= worst[2]
    brute = max(accuracies(material.old - cut, material).min() for cut in np.linspace(-6, 6, 2000))
    assert worst[2] == pytest.approx(brute, abs=0.02)


def test_scaling_has_the_log_loss_of_a_fit_on_the_logit_alone() -> None:
    material = spurious()
    change = fits.scaled(material, np.ones(len(material)))
    assert isinstance(change, Change) and not change.weight.any()
    theirs = LogisticRegression(C=1e6).fit(material.old[:, None], material.labels)
    chance = 1 / (1 + np.exp(-change.logits(material.features, material.old)))
    assert log_loss(material.labels, chance) == pytest.approx(
        log_loss(material.labels, theirs.predict_proba(material.old[:, None])[:, 1]), abs=1e-3
    )


def test_too_few_persons_of_a_class_are_refused() -> None:
    material = spurious(300)
    few = material.select(np.flatnonzero(material.labels | (material.persons < 8)))
    with pytest.raises(UserError, match="female images of . persons"):
        check_persons(few, "The fitting data")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_persons(material, "The fitting data")
