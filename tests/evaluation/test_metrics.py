"""Metrics agree with scikit-learn, and with scipy where something is fitted."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from sklearn import metrics as oracle

from gender_lightning.evaluation.metric_list import sigmoid
from gender_lightning.evaluation.metrics import (
    TEMPERATURE_RANGE,
    classification_metrics,
    fit_temperature,
    fit_threshold,
    training_metrics,
)


def sample(n: int = 500, seed: int = 0, scale: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    logits = np.round(scale * (labels - 0.4 + rng.normal(0, 0.6, n)), 1)  # rounded: there are ties
    return labels, logits


@pytest.mark.parametrize(("temperature", "threshold"), [(1.0, 0.5), (2.5, 0.5), (0.7, 0.3)])
def test_metrics_are_scikit_learns(temperature: float, threshold: float) -> None:
    labels, logits = sample()
    probability = 1 / (1 + np.exp(-logits / temperature))
    decided = probability >= threshold
    expected = {
        "accuracy": oracle.accuracy_score(labels, decided),
        "balanced_accuracy": oracle.balanced_accuracy_score(labels, decided),
        "recall_male": oracle.recall_score(labels, decided),
        "recall_female": oracle.recall_score(labels, decided, pos_label=0),
        "f1": oracle.f1_score(labels, decided),
        "auroc": oracle.roc_auc_score(labels, logits),
        "loss": oracle.log_loss(labels, probability),
    }
    got = classification_metrics(labels, logits, temperature, threshold)
    assert tuple(got) == training_metrics()
    assert got == pytest.approx(expected)


def test_tensors_of_any_float_are_taken() -> None:
    labels, logits = sample()
    expected = classification_metrics(labels, torch.tensor(logits).bfloat16().double().numpy())
    assert classification_metrics(torch.tensor(labels), torch.tensor(logits).bfloat16()) == expected


@pytest.mark.parametrize(("label", "absent"), [(1, {"recall_female"}), (0, {"recall_male", "f1"})])
def test_an_absent_class_gives_nan(label: int, absent: set[str]) -> None:
    got = classification_metrics([label] * 3, [1.0, 2.0, -1.0])
    assert {name for name, value in got.items() if math.isnan(value)} == absent | {"balanced_accuracy", "auroc"}
    assert got["accuracy"] == pytest.approx(2 / 3 if label else 1 / 3)


def test_no_image_and_a_diverged_model_give_nan() -> None:
    assert all(math.isnan(value) for value in classification_metrics([], []).values())
    assert all(math.isnan(value) for value in classification_metrics([0, 1], [0.5, math.nan]).values())


def test_huge_logits_stay_finite() -> None:
    got = classification_metrics([0, 1], [5000.0, 5000.0])
    assert got["loss"] == pytest.approx(2500.0)
    assert sigmoid(np.array([-1e4, 0.0, 1e4])).tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize("scale", [0.5, 3.0, 20.0])
def test_temperature_is_the_minimum_of_log_loss(scale: float) -> None:
    labels, logits = sample(scale=scale)

    def loss(log_t: float) -> float:
        return float(oracle.log_loss(labels, 1 / (1 + np.exp(-logits / math.exp(log_t)))))

    bounds = tuple(math.log(bound) for bound in TEMPERATURE_RANGE)
    expected = math.exp(minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-9}).x)
    assert fit_temperature(logits, labels) == pytest.approx(expected, rel=1e-4)


def test_temperature_says_nothing_where_the_data_say_nothing() -> None:
    assert fit_temperature([-2.0, 3.0, 4.0], [0, 1, 1]) == 1.0  # separated
    assert fit_temperature([2.0, -3.0], [0, 1]) == 1.0  # all wrong
    assert fit_temperature([], []) == 1.0
    assert fit_temperature([math.inf, -1.0], [1, 0]) == 1.0


def test_temperature_stays_in_its_range() -> None:
    almost = fit_temperature(np.r_[np.full(5000, 0.5), -1e-9], np.ones(5001))
    noise = fit_temperature(np.tile([50.0, -50.0], 50), np.tile([0, 1, 1, 0], 25))
    assert almost == pytest.approx(TEMPERATURE_RANGE[0], rel=1e-3)
    assert noise == pytest.approx(TEMPERATURE_RANGE[1], rel=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_no_threshold_has_a_higher_balanced_accuracy(seed: int) -> None:
    labels, logits = sample(80, seed)
    probability = sigmoid(logits)

    def score(threshold: float) -> float:
        return float(oracle.balanced_accuracy_score(labels, probability >= threshold))

    fitted = fit_threshold(probability, labels)
    assert score(fitted) == pytest.approx(max(score(t) for t in np.unique(np.r_[probability, 0, 1.01])))


def test_threshold_lies_half_way_and_nearest_one_half() -> None:
    assert fit_threshold([0.1, 0.2, 0.6, 0.7], [0, 0, 1, 1]) == pytest.approx(0.4)
    # 0.15 and 0.45 split equally well; 0.45 is nearer
    assert fit_threshold([0.1, 0.2, 0.4, 0.5], [0, 1, 0, 1]) == pytest.approx(0.45)


def test_threshold_is_one_half_where_a_class_is_absent() -> None:
    assert fit_threshold([0.1, 0.9], [1, 1]) == 0.5
    assert fit_threshold([0.1, math.nan], [0, 1]) == 0.5
