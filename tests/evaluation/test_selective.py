"""Abstaining: the guarantee holds over many draws, and curves are those of a slow loop."""

from __future__ import annotations

import numpy as np
import pytest

from gender_lightning.evaluation.metrics import probabilities
from gender_lightning.evaluation.selective import choose_abstention, confidence, risk_coverage, select


def draw(n: int, seed: int, mislabelled: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = (generator.random(n) < 0.4).astype(int)
    logits = generator.normal(np.where(labels == 1, 3.0, -3.0), 2.0)
    return np.where(generator.random(n) < mislabelled, 1 - labels, labels), logits


def test_confidence_is_of_the_decided_class() -> None:
    assert confidence([0.1, 0.5, 0.8]).tolist() == pytest.approx([0.9, 0.5, 0.8])
    assert confidence([0.35, 0.2], threshold=0.3).tolist() == pytest.approx([0.35, 0.8])


@pytest.mark.parametrize(("target", "images"), [(0.97, 1000), (0.99, 3000)])
def test_the_guarantee_holds(target: float, images: int) -> None:
    labels, logits = draw(60_000, 0, mislabelled=0.002)
    probability = probabilities(logits)
    missed = given = 0
    for seed in range(100):
        rows = np.random.default_rng(seed + 1).integers(0, len(labels), images)
        chosen = choose_abstention(labels[rows], logits[rows], 1.0, target)
        if chosen.min_confidence is not None:
            given += 1
            missed += select(labels, probability, chosen.min_confidence).accuracy < target
    assert given > 20
    assert missed / 100 <= 0.11  # 0.05 and three standard errors


def people(seed: int, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, logits and persons: the images of a person are hard or easy together."""
    generator = np.random.default_rng(seed)
    male = generator.random(number) < 0.42
    persons = np.repeat(np.arange(number), np.clip(generator.geometric(1 / 17, number), 1, 40))
    size = len(persons)
    margin = 3.3 + 1.6 * generator.normal(size=number)[persons] + 1.6 * generator.normal(size=size)
    labels = male[persons] ^ (generator.random(size) < 0.002)
    return labels.astype(int), margin * np.where(male, 1, -1)[persons], persons


def broken_promises(target: float, times: int, *, by_person: bool = True) -> float:
    """How often the confidence that 80 people gave is too low for new people."""
    labels, logits, _ = people(10_000, 5000)
    probability = probabilities(logits)
    broken = 0
    for seed in range(times):
        some_labels, some_logits, persons = people(seed, 80)
        clusters = persons if by_person else None
        chosen = choose_abstention(some_labels, some_logits, 1.0, target, clusters=clusters)
        if chosen.min_confidence is not None:
            broken += select(labels, probability, chosen.min_confidence).accuracy < target
    return broken / times


def test_the_guarantee_holds_for_people() -> None:
    # 0.05 were promised; of 50 draws
    assert broken_promises(0.95, 50) <= 0.1 < broken_promises(0.95, 50, by_person=False)


def test_no_guarantee_from_too_few_images() -> None:
    labels = np.tile([0, 1], 100)
    chosen = choose_abstention(labels, labels * 8.0 - 4.0, 1.0, 0.995)
    assert chosen.min_confidence is None and chosen.coverage == 0
    assert choose_abstention([], [], 1.0, 0.9).min_confidence is None


def test_a_perfect_model_leaves_nothing_out() -> None:
    labels = np.tile([0, 1], 600)
    chosen = choose_abstention(labels, labels * 8.0 - 4.0, 1.0, 0.995)
    assert chosen.min_confidence == 0 and chosen.coverage == 1


def test_what_was_chosen_is_what_select_does() -> None:
    labels, logits = draw(2000, 3)
    chosen = choose_abstention(labels, logits, 1.3, 0.98)
    assert chosen.min_confidence is not None
    selected = select(labels, probabilities(logits, 1.3), chosen.min_confidence)
    assert selected.decided == chosen.decided < 2000
    assert selected.accuracy == pytest.approx(1 - chosen.errors / chosen.decided)
    assert selected.coverage == pytest.approx(chosen.coverage)
    share = np.mean(labels)
    mixed = share * selected.coverage_male + (1 - share) * selected.coverage_female
    assert mixed == pytest.approx(selected.coverage)


def test_stricter_wishes_cover_less() -> None:
    labels, logits = draw(5000, 4)
    found = [choose_abstention(labels, logits, 1.0, target) for target in (0.94, 0.97, 0.99)]
    coverages = [point.coverage for point in found]
    assert coverages == sorted(coverages, reverse=True) and coverages[-1] < coverages[0]


def test_curve_is_the_slow_one() -> None:
    labels, logits = draw(400, 5)
    probability = probabilities(logits)
    curve = risk_coverage(labels, probability)
    right = (probability >= 0.5) == labels
    order = np.argsort(-np.maximum(probability, 1 - probability), kind="stable")
    risks = [1 - right[order[:k]].mean() for k in range(1, 401)]
    assert curve.aurc == pytest.approx(np.mean(risks))
    np.testing.assert_allclose(curve.risk, risks)
    np.testing.assert_allclose(curve.coverage, np.arange(1, 401) / 400)
    best = [1 - np.sort(right)[::-1][:k].mean() for k in range(1, 401)]
    assert curve.aurc_of_oracle == pytest.approx(np.mean(best))
    assert curve.coverage_at(0.99) == max((k + 1) / 400 for k in range(400) if risks[k] <= 0.01 + 1e-12)
    threshold = curve.confidence_at(0.99)
    assert threshold is not None
    assert select(labels, probability, threshold).coverage == pytest.approx(curve.coverage_at(0.99))


def test_ties_come_in_together() -> None:
    curve = risk_coverage([1, 1, 0, 1], [0.9, 0.9, 0.9, 0.6])
    assert curve.coverage.tolist() == [0.75, 1.0]
    assert curve.risk.tolist() == pytest.approx([1 / 3, 1 / 4])
    assert curve.aurc == pytest.approx((3 * 1 / 3 + 1 / 4) / 4)  # over a random order of the three
    assert curve.coverage_at(0.99) == 0 and curve.confidence_at(0.99) is None
