"""ECE against a hand-computed case; chance is what a calibrated model shows."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from sklearn.calibration import calibration_curve
from statsmodels.stats.proportion import proportion_confint

from gender_lightning.evaluation.calibration import (
    ece_by_chance,
    ece_columns,
    equal_mass_bins,
    expected_calibration_error,
    reliability_bins,
    scale_z,
)


def test_a_hand_computed_case() -> None:
    probability, labels = [0.1, 0.3, 0.6, 0.8], [0, 1, 1, 1]
    # bins {0.1, 0.3} and {0.6, 0.8}: |0.2 - 0.5| and |0.7 - 1.0|
    assert expected_calibration_error(labels, probability, bins=2) == pytest.approx(0.3)
    assert expected_calibration_error(labels, probability, bins=4) == pytest.approx((0.1 + 0.7 + 0.4 + 0.2) / 4)


def test_bins_are_scikit_learns_quantiles() -> None:
    generator = np.random.default_rng(1)
    probability = generator.random(1500)
    labels = generator.random(1500) < probability**2
    observed, predicted = calibration_curve(labels, probability, n_bins=15, strategy="quantile")
    found = reliability_bins(labels, probability)
    assert [part.images for part in found] == [100] * 15
    np.testing.assert_allclose([part.observed for part in found], observed, atol=0.011)  # an image at an edge may move
    np.testing.assert_allclose([part.predicted for part in found], predicted, atol=0.01)
    expected = np.mean([abs(part.predicted - part.observed) for part in found])
    assert expected_calibration_error(labels, probability) == pytest.approx(expected)


def test_bars_of_bins_are_as_wide_as_there_are_people() -> None:
    """Formerly a hundred images of ten people made bars as of a hundred people."""
    probability = np.repeat([0.3, 0.7], 200)
    people = np.repeat(np.arange(20), 20)
    labels = people % 10 < np.where(people < 10, 3, 7)  # a person's images are alike
    for found, male in zip(reliability_bins(labels, probability, people, bins=2), (3, 7), strict=True):
        assert (found.low, found.high) == pytest.approx(proportion_confint(male, 10, 0.05, method="beta"), abs=0.09)
        assert found.high - found.low > 0.5
    alone = reliability_bins(labels, probability, bins=2)[0]
    assert (alone.low, alone.high) == pytest.approx(proportion_confint(60, 200, 0.05, method="beta"))
    assert np.isnan(reliability_bins(labels[:180], probability[:180], people[:180], bins=1)[0].low)


def test_equal_values_share_a_bin_whatever_their_order() -> None:
    values = np.repeat([0.2, 0.4, 0.9], [50, 30, 20])
    shuffled = np.random.default_rng(2).permutation(100)
    assert len(set(zip(values.tolist(), equal_mass_bins(values).tolist(), strict=True))) == 3
    assert np.array_equal(equal_mass_bins(values)[shuffled], equal_mass_bins(values[shuffled]))


def test_a_calibrated_model_shows_chance_and_another_more() -> None:
    generator = np.random.default_rng(3)
    probability = generator.beta(0.3, 0.3, 2000)
    chance = ece_by_chance(generator.random(2000) < probability, probability)
    calibrated = [expected_calibration_error(generator.random(2000) < probability, probability) for _ in range(100)]
    assert np.mean(calibrated) == pytest.approx(chance.mean(), rel=0.1)
    wrong = generator.random(2000) < probability**3
    assert expected_calibration_error(wrong, probability) > ece_by_chance(wrong, probability).max()


DISTANCE = {0.89: 2.453, 0.96: 3.501}  # of the classes' means, in standard deviations, for that accuracy


def split_of_people(seed: int, accuracy: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, calibrated logits and persons; the images of a person share a third of what misleads the model."""
    generator, distance = np.random.default_rng(seed), DISTANCE[accuracy]
    persons = np.repeat(np.arange(100), np.clip(generator.geometric(1 / 17, 100), 1, 40))
    male = generator.random(100)[persons] < 0.5
    noise = 0.6 * generator.normal(size=100)[persons] + 0.8 * generator.normal(size=len(male))
    return male, distance * (np.where(male, 0.5, -0.5) * distance + noise), persons


def accused(accuracy: float, factor: float, times: int, *, by_person: bool = True) -> float:
    """How often logits that are calibrated but for a factor are said to be worse than chance explains."""
    found = 0
    for seed in range(times):
        male, logits, persons = split_of_people(seed, accuracy)
        probability = 1 / (1 + np.exp(-factor * logits))
        chance = ece_by_chance(male, probability, persons if by_person else None, seed=seed)
        found += expected_calibration_error(male, probability) > np.quantile(chance, 0.95)
    return found / times


def test_persons_whose_images_are_alike_accuse_nobody() -> None:
    """The score is calibrated, but the images of a person share what misleads it."""
    # of 60 draws, 3 are expected
    assert accused(0.96, 1.0, 60) <= 0.15 < accused(0.96, 1.0, 60, by_person=False)


def mis_scaled(accuracy: float, factor: float, times: int) -> float:
    """How often logits that are calibrated but for a factor are said to be too large, or too small, throughout."""
    found = 0
    for seed in range(times):
        male, logits, persons = split_of_people(seed, accuracy)
        found += abs(scale_z(male, factor * logits, persons)) > 1.96
    return found / times


def test_a_wrong_scale_is_seen_where_bins_see_none() -> None:
    for accuracy in DISTANCE:
        assert mis_scaled(accuracy, 1.0, 60) <= 0.1 and mis_scaled(accuracy, 1.6, 60) >= 0.85


def test_of_independent_images_the_scale_is_a_score_test_of_coxs_slope() -> None:
    generator = np.random.default_rng(6)
    logits = generator.normal(size=4000) * 2
    labels = (generator.random(4000) < 1 / (1 + np.exp(-logits / 1.1))).astype(float)
    fit = sm.Logit(labels, logits[:, None]).fit(disp=False)
    wald = (1 - fit.params[0]) / fit.bse[0]
    assert scale_z(labels, logits) == pytest.approx(wald, rel=0.15) and wald > 1.5


def test_a_sure_model_without_errors_is_not_accused() -> None:
    """Of 100 images at 0.997, three splits in four have no error."""
    probability = np.tile([0.003, 0.997], 50)
    labels = probability > 0.5
    ece = expected_calibration_error(labels, probability)
    assert ece <= np.quantile(ece_by_chance(labels, probability), 0.95)
    unsure = np.tile([0.05, 0.95], 50)  # five errors would be due
    assert expected_calibration_error(labels, unsure) > np.quantile(ece_by_chance(labels, unsure), 0.95)


def test_totals_of_a_resample_are_its_ece_at_fixed_bins() -> None:
    generator = np.random.default_rng(4)
    probability = generator.random(300)
    labels = generator.random(300) < probability
    tally, place = ece_columns(labels, probability), equal_mass_bins(probability)
    weights = generator.integers(0, 4, 300)
    rows = np.repeat(np.arange(300), weights)
    gaps = [abs((probability - labels)[rows[place[rows] == b]].sum()) for b in range(15)]
    assert tally.metric(weights @ tally.columns)[0] == pytest.approx(sum(gaps) / weights.sum())
