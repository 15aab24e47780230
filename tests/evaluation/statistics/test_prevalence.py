"""Shares of a crowd: hand-computed cases, and simulations in which the truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from gender_lightning.errors import UserError
from gender_lightning.evaluation.statistics.fit import goodness_of_fit
from gender_lightning.evaluation.statistics.prevalence import Method, Reference, Tally, Target, estimate

SHARES = [0.1, 0.3, 0.5, 0.7, 0.9]


def _scores(random: np.random.Generator, men: int, women: int) -> np.ndarray:
    """Of a classifier that takes 8 % of the men for women and 4 % of the women for men."""
    return expit(np.concatenate([random.normal(2.2, 1.6, men), random.normal(-2.8, 1.6, women)]))


def _reference(random: np.random.Generator, men: int = 400, women: int = 600) -> Reference:
    labels = np.r_[np.ones(men), np.zeros(women)]
    return Reference.of(labels, _scores(random, men, women), 0.5)


def test_the_textbook_case() -> None:
    # 80 % of the men and 10 % of the women are decided male, and 45 % of the crowd: (0.45 - 0.1) / 0.7 are men
    labels = np.r_[np.ones(100), np.zeros(100)]
    said = np.r_[np.full(80, 0.9), np.full(20, 0.2), np.full(10, 0.8), np.full(90, 0.1)]
    reference = Reference.of(labels, said, 0.5)
    crowd = Tally.of(np.r_[np.full(45, 0.85), np.full(55, 0.15)], 0.5)
    found = estimate(crowd, reference, method="decisions")
    assert found.share == pytest.approx(0.5) and found.naive == pytest.approx(0.45) and found.faces == 100
    # mean probability 0.465; of men 0.76, of women 0.17
    assert estimate(crowd, reference, method="probabilities").share == pytest.approx((0.465 - 0.17) / (0.76 - 0.17))
    assert found.low < 0.5 < found.high


def test_tallies_add_up_and_hold_no_rows() -> None:
    random = np.random.default_rng(1)
    values = _scores(random, 300, 200)
    whole, parts = Tally.of(values, 0.4), Tally.of(values[:70], 0.4) + Tally.of(values[70:], 0.4) + Tally.empty()
    assert np.array_equal(whole.counts, parts.counts) and np.allclose(whole.sums, parts.sums)
    assert len(whole) == 500 and whole.decided == parts.decided == (values >= 0.4).sum()
    assert whole.mean("probabilities") == pytest.approx(values.mean())


def test_photos_of_few_persons_tell_less() -> None:
    random = np.random.default_rng(2)
    labels = np.r_[np.ones(400), np.zeros(400)]
    scores = expit(np.repeat(np.r_[random.normal(1.5, 1.5, 20), random.normal(-1.5, 1.5, 20)], 20))
    crowd = Tally.of(scores, 0.5)
    by_image = estimate(crowd, Reference.of(labels, scores, 0.5), target="crowd")
    by_person = estimate(crowd, Reference.of(labels, scores, 0.5, np.repeat(np.arange(40), 20)), target="crowd")
    assert by_person.share == pytest.approx(by_image.share)
    assert by_person.high - by_person.low > 1.5 * (by_image.high - by_image.low)


def test_one_wrong_label_makes_no_other_person() -> None:
    persons = np.repeat(np.arange(20), 10)
    labels, scores = (persons < 8).astype(int), np.where(persons < 8, 0.95, 0.05)
    right = Reference.of(labels, scores, 0.5, persons)
    labels[[85, 97, 120]] = 1  # of three women, one picture each
    slips = Reference.of(labels, scores, 0.5, persons)
    assert len(slips.male) == 8 and len(slips.female) == 12
    assert slips.male.mean("probabilities") == pytest.approx(right.male.mean("probabilities"))


def test_a_model_that_tells_nothing_apart_is_refused() -> None:
    random = np.random.default_rng(3)
    with pytest.raises(UserError, match="nearly the same"):
        Reference.of(random.random(500) < 0.5, random.random(500), 0.5)
    with pytest.raises(UserError, match="one class"):
        Reference.of(np.ones(9), np.full(9, 0.9), 0.5)


def test_other_scores_than_a_mixtures_are_noticed() -> None:
    random = np.random.default_rng(4)
    reference = _reference(random)
    alike = [goodness_of_fit(Tally.of(_scores(random, 60, 240), 0.5), reference, draws=200) for _ in range(20)]
    assert np.mean(alike) > 0.25 and np.mean(np.array(alike) < 0.05) <= 0.25
    unsure = Tally.of(expit(random.normal(0, 1, 300)), 0.5)
    assert goodness_of_fit(unsure, reference, draws=500) < 0.01


def _people(random: np.random.Generator, male: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each person the mean logit, and how many pictures there are: the more, the easier."""
    ease = random.normal(size=len(male))
    logits = np.where(male, 2.8 + 1.3 * ease, -3.2 - 1.3 * ease)
    logits = np.where(random.random(len(male)) < 0.04, -0.3 * logits, logits)
    return logits, np.clip((random.geometric(1 / 12, len(male)) * np.exp(0.5 * ease)).astype(int), 1, 40)


def _of_people(random: np.random.Generator, number: int) -> Reference:
    male = np.arange(number) < 0.4 * number
    logits, pictures = _people(random, male)
    persons = np.repeat(np.arange(number), pictures)
    scores = expit(logits[persons] + 1.3 * random.normal(size=len(persons)))
    return Reference.of(male[persons], scores, 0.5, persons)


def _crowd(random: np.random.Generator, number: int, share: float, shift: float = 0.0) -> tuple[float, np.ndarray]:
    male = random.random(number) < share
    logits, _ = _people(random, male)
    return float(male.mean()), expit(logits + 1.3 * random.normal(size=number) + shift)


def crowd_coverage(share: float, target: Target, times: int, people: int) -> tuple[float, float]:
    """How often the interval covers the truth, and the mean error."""
    rows = []
    for seed in range(times):
        random = np.random.default_rng([seed, people])
        truth, scores = _crowd(random, 200, share)
        truth = share if target == "population" else truth
        found = estimate(Tally.of(scores, 0.5), _of_people(random, people), target=target, draws=400, seed=seed)
        rows.append((found.low <= truth <= found.high, found.share - truth))
    covered, error = np.mean(rows, axis=0)
    return float(covered), float(error)


def test_crowds_of_distinct_people_are_not_those_with_many_pictures() -> None:
    covered, error = crowd_coverage(0.2, "crowd", 60, 80)
    assert covered >= 0.87 and abs(error) < 0.01  # were 0.72 and 0.025 while pictures were counted


@pytest.mark.slow
@pytest.mark.parametrize("people", [80, 400])
def test_intervals_of_crowds_of_distinct_people_cover(people: int) -> None:
    found = [crowd_coverage(share, "crowd", 150, people) for share in (0.05, 0.2, 0.5, 0.95)]
    covered, error = np.transpose(found)
    assert covered.min() >= 0.93 - 0.035 and 0.93 <= covered.mean() <= 0.98 and np.abs(error).max() < 0.008, found


def flagged(people: int, share: float, shift: float, times: int) -> float:
    """How often a crowd of 400 whose logits are shifted is said to be unlike the labelled people."""
    found = []
    for seed in range(times):
        random = np.random.default_rng(seed)
        reference = _of_people(random, people)
        crowd = Tally.of(_crowd(random, 400, share, shift)[1], 0.5)
        found.append(goodness_of_fit(crowd, reference, draws=200, seed=seed) < 0.05)
    return float(np.mean(found))


def test_a_shifted_distribution_is_flagged() -> None:
    assert flagged(400, 0.4, 0.7, 25) >= 0.88 and flagged(400, 0.4, 0.0, 25) <= 0.16


def test_a_crowd_that_shows_people_again_tells_less() -> None:
    random = np.random.default_rng(5)
    reference = _of_people(random, 200)
    _, scores = _crowd(random, 100, 0.4)
    repeated = np.repeat(scores, 8)
    crowd = Tally.of(repeated, 0.5)
    people = np.stack([np.full(100, 8.0), 8.0 * (scores >= 0.5), 8 * scores], axis=1)
    for target in ("population", "crowd"):
        as_faces = estimate(crowd, reference, target=target)
        as_people = estimate(crowd, reference, people=people, target=target)
        once = estimate(Tally.of(scores, 0.5), reference, target=target)
        assert as_people.share == pytest.approx(as_faces.share) and as_people.faces == 800
        assert as_people.high - as_people.low > 1.15 * (as_faces.high - as_faces.low)
        assert as_people.high - as_people.low < 1.25 * (once.high - once.low)


def _simulate(share: float, method: Method, target: Target, times: int, seed: int) -> np.ndarray:
    """Whether the interval covers the truth, and the errors of the estimate and of the naive count."""
    random = np.random.default_rng(seed)
    rows = []
    for time in range(times):
        men = int(random.binomial(400, share))
        crowd = Tally.of(_scores(random, men, 400 - men), 0.5)
        found = estimate(crowd, _reference(random), method=method, target=target, draws=400, seed=time)
        truth = share if target == "population" else men / 400
        rows.append((found.low <= truth <= found.high, found.share - truth, found.naive - truth))
    return np.array(rows, dtype=np.float64)


@pytest.mark.parametrize("share", [0.1, 0.9])
def test_the_bias_is_below_the_naive_counts(share: float) -> None:
    _, error, naive = _simulate(share, "probabilities", "population", 100, 5).mean(axis=0)
    assert abs(error) < 0.3 * abs(naive)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["population", "crowd"])
@pytest.mark.parametrize("method", ["probabilities", "decisions"])
def test_intervals_cover_as_often_as_they_say(method: Method, target: Target) -> None:
    covered, error, naive = np.transpose([_simulate(p, method, target, 500, 6).mean(axis=0) for p in SHARES])
    assert 0.93 <= covered.mean() <= 0.97, covered  # of 2,500; the standard error is 0.0044
    assert covered.min() > 0.93 - 0.02 and covered.max() < 0.97 + 0.02, covered  # of 500: 0.01
    assert np.abs(error).max() < 0.006 and np.abs(naive).max() > 0.05
