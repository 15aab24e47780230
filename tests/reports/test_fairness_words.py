"""Fairness in sentences: a direction is named only where the interval has one, and nothing reads `nan`."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from gender_lightning.evaluation.measure import Measure
from gender_lightning.evaluation.statistics.intervals import Resampling
from gender_lightning.evaluation.subgroups.fairness import Decisions, Fairness, Gap, measure_fairness
from gender_lightning.reports.fairness_words import fairness_sentences, gap_sentence, skin_tone


def measured(male: float, female: float, *, persons: int = 120, attributes: bool = True) -> Fairness:
    random = np.random.default_rng(1)
    clusters = np.repeat(np.arange(persons), 6)
    labels = clusters % 2 == 0
    right = random.random(len(clusters)) < np.where(labels, male, female)
    flags = {"Pale_Skin": random.random(len(clusters)) < 0.3, "Smiling": random.random(len(clusters)) < 0.5}
    split = Decisions.of(labels, right, clusters, flags if attributes else {})
    return measure_fairness(split, Resampling(clusters))


def test_a_gap_is_named_with_its_direction_and_interval() -> None:
    worse = measured(0.8, 0.97)
    assert gap_sentence(worse).startswith("Men are recognised less often, by 1")
    gap = worse.recall_gap
    assert f"({-100 * gap.high:.1f} to {-100 * gap.low:.1f}) points" in gap_sentence(worse)
    assert gap_sentence(measured(0.97, 0.8)).startswith("Women are recognised less often, by 1")


def test_what_may_be_chance_has_no_direction_and_says_what_could_be_seen() -> None:
    equal = measured(0.93, 0.93)
    said = gap_sentence(equal)
    assert "not shown that men and women are recognised unequally" in said
    assert f"A gap below {100 * equal.recall_gap.detectable:.1f} points" in said


def test_the_gap_that_is_shown_is_the_one_that_is_beyond_chance() -> None:
    """With the largest gap alone, `1 is beyond chance` stood before another one, of fewer people."""
    split = measured(0.9, 0.9)
    pale, smiling = sorted(split.attributes, key=lambda gap: gap.attribute)
    none = Gap(0.0, -0.01, 0.01, 0.1)
    wide, sure = Gap(0.3, 0.1, 0.5, 0.4, p_holm=0.2), Gap(0.1, 0.05, 0.15, 0.1, p_holm=0.001)
    both = [replace(pale, male=none, female=wide), replace(smiling, male=none, female=sure)]
    said = " ".join(fairness_sentences(replace(split, attributes=both)))
    assert "1 is beyond chance: women who smile" in said or "1 is beyond chance: women smiling" in said, said
    assert said.index("10.0 (5.0 to 15.0)") < said.index("A larger one may be chance") < said.index("30.0 (10.0 to")
    alone = " ".join(fairness_sentences(replace(split, attributes=both[:1])))
    assert "none is beyond chance. The largest: women" in alone and "may be chance among so many." in alone


def test_skin_tone_is_said_to_be_hardly_known() -> None:
    assert "Pale_Skin" in skin_tone(measured(0.9, 0.9)) and "no proof" in skin_tone(measured(0.9, 0.9))
    assert "no attribute of it" in skin_tone(measured(0.9, 0.9, attributes=False))


def test_nothing_reads_nan() -> None:
    for found in (measured(0.9, 0.9, persons=8), measured(0.9, 0.9, attributes=False), measured(1.0, 1.0)):
        text = " ".join([*fairness_sentences(found), skin_tone(found)])
        assert "nan" not in text and "inf" not in text
    assert not any("counts once" in text for text in fairness_sentences(measured(0.9, 0.8), identified=False))
    unknown = Measure(math.nan, math.nan, math.nan)
    per_person = dict.fromkeys(("accuracy", "recall_male", "recall_female"), unknown)
    one = Fairness(Gap(math.nan, math.nan, math.nan, math.nan), per_person, [], None, [], [], None)
    assert fairness_sentences(one) == ["There are images of one class only, so that the two cannot be compared."]
