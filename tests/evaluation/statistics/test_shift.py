"""Other kinds of faces: false alarms and power by simulation, with people who have several pictures each."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from gender_lightning.evaluation.statistics.shift import ClassMoments, shift_of

WIDTH = 6


def _faces(
    random: np.random.Generator, persons: int, pictures: int, share: float, shift: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Descriptions, classes and persons; half of the variance is between persons, and a tail is long."""
    male = np.arange(persons) < round(share * persons)
    who = np.repeat(np.arange(persons), pictures)
    described = random.normal(size=(persons, WIDTH))[who] + random.standard_t(6, size=(len(who), WIDTH))
    described += np.outer(male[who], [4.0, 1.0, 0, 0, -1.0, 0])
    described[:, 2:4] += shift
    return described, male[who], who


def _p_values(
    runs: int, *, share: float, shift: float = 0.0, crowd: tuple[int, int] = (100, 1), known: bool
) -> np.ndarray:
    found = []
    for seed in range(runs):
        random = np.random.default_rng([seed, 5])
        labelled = ClassMoments.of(*_faces(random, 80, 12, 0.45))
        assert labelled is not None
        described, _, _ = _faces(random, *crowd, share, shift)
        persons = float(crowd[0]) if known else None
        found.append(shift_of(described.mean(axis=0), len(described), labelled, persons).p)
    return np.array(found)


@pytest.mark.parametrize("share", [0.0, 0.6])
@pytest.mark.parametrize("crowd", [(100, 1), (30, 10)])
def test_false_alarms_are_as_rare_as_they_say(share: float, crowd: tuple[int, int]) -> None:
    p = _p_values(100, share=share, crowd=crowd, known=True)
    assert (p < 0.05).mean() <= 0.05 + 0.065 and (p < 0.01).mean() <= 0.04  # three standard errors


def test_a_shift_is_seen_and_the_share_of_men_is_none() -> None:
    assert (_p_values(40, share=0.9, shift=1.0, known=True) < 0.01).mean() > 0.9
    assert (_p_values(40, share=0.1, shift=1.0, known=True) < 0.01).mean() > 0.9


def test_strangers_are_taken_to_come_eight_times() -> None:
    assert (_p_values(60, share=0.5, crowd=(40, 8), known=False) < 0.05).mean() <= 0.15
    cautious, sure = (_p_values(30, share=0.5, shift=0.5, known=known) for known in (False, True))
    assert np.median(cautious) > np.median(sure)


def test_the_textbook_case() -> None:
    """With one class absent from the crowd and its direction out of the way it is Hotelling's two-sample test."""
    random = np.random.default_rng(2)
    labelled, crowd = random.normal(size=(400, 3)), random.normal(0.1, 1, size=(50, 3))
    male = np.arange(400) < 200
    labelled[male, 0] += 1000.0
    moments = ClassMoments.of(labelled, male, np.arange(400))
    assert moments is not None
    found = shift_of(crowd.mean(axis=0), 50, moments, 50.0)
    # the share takes the first axis, so that two are left, of which the women alone are compared
    women = labelled[~male][:, 1:]
    rest = crowd[:, 1:].mean(axis=0) - women.mean(axis=0)
    squared = rest @ np.linalg.inv(np.cov(women.T) * (1 / 50 + 1 / 200)) @ rest
    assert found.p == pytest.approx(stats.f.sf(squared * 198 / (199 * 2), 2, 198), rel=0.1)


def test_few_persons_tell_nothing() -> None:
    random = np.random.default_rng(1)
    described, male, who = _faces(random, 30, 3, 0.5)
    assert ClassMoments.of(described, male, who) is not None
    assert ClassMoments.of(*_faces(random, 30, 3, 0.3)) is None
