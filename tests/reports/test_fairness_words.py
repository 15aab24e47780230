"""Fairness in sentences: a direction is named only where the interval has one, and nothing reads `nan`."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from gender_lightning.evaluation.measure import Measure
from gender_lightning.evaluation.statistics.intervals import Resampling
from gender_lightning.evaluation.subgroups.fairness import Decisions, Fairness, Gap, measure_fairness
from gender_lightning.reports.fairness_words import comparable, fairness_sentences, gap_sentence, gaps_note, skin_tone


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


def test_what_may_be_chance_is_told_without_a_difference_of_recalls() -> None:
    split = measured(0.93, 0.93)
    said = gap_sentence(replace(split, recall_gap=Gap(0.026, -0.008, 0.067, 0.05)))
    assert "on these images men are recognised 2.6 points more often than women" in said
    assert "anything from 0.8 points less often to 6.7 points more often would agree" in said
    assert "0.4 points less often than women" in gap_sentence(replace(split, recall_gap=Gap(-0.004, -0.02, 0.01, 0.02)))
    equal = gap_sentence(replace(split, recall_gap=Gap(0.0001, -0.02, 0.02, 0.02)))
    assert "men are recognised just as often as women" in equal
    few = replace(split, recall_gap=Gap(-0.2, math.nan, math.nan, math.nan))
    assert gap_sentence(few) == (
        "On these images men are recognised 20.0 points less often than women; fewer than 10 persons of a class are "
        "too few to say more."
    )
    assert "fewer than 10 images of a class" in gap_sentence(few, identified=False)
    tone = skin_tone(split)
    assert "en with pale skin are recognised" in tone and "which may be chance" in tone
    assert not any("ecall" in text or " minus " in text for text in (said, equal, tone, gap_sentence(few)))


def test_unknown_persons_are_not_counted() -> None:
    split = measured(0.9, 0.8)
    known, unknown = (" ".join(fairness_sentences(split, identified=one)) for one in (True, False))
    assert "persons are not judged" in known and " persons right" in known and "person" not in unknown


def test_a_table_of_gaps_says_why_some_have_no_interval_and_some_are_left_out() -> None:
    random = np.random.default_rng(1)
    clusters = np.repeat(np.arange(100), 6)
    labels = clusters % 2 == 0
    flags = {
        "Smiling": random.random(600) < 0.5, "Eyeglasses": np.arange(600) % 30 == 0, "Bald": np.zeros(600, bool),
        "Mustache": labels & (random.random(600) < 0.5), "No_Beard": ~labels,
    }  # fmt: skip
    split = Decisions.of(labels, random.random(600) < 0.9, clusters, flags)
    gaps = measure_fairness(split, Resampling(clusters)).attributes
    shown = comparable(gaps)
    assert {gap.attribute for gap in gaps} - {gap.attribute for gap in shown} == {"Bald", "No_Beard"}
    said = gaps_note(gaps, shown)
    assert said.startswith("2 attributes are left out, since within each class all images here have it, or none has.")
    assert "A number without an interval is not judged: fewer than 50 images or 10 persons of the class" in said
    assert "A dash (\N{EN DASH}): all images of the class have the attribute, or none has." in said
    smiling = [gap for gap in gaps if gap.attribute == "Smiling"]
    assert gaps_note(smiling, smiling) == ""
    glasses = [gap for gap in gaps if gap.attribute == "Eyeglasses"]
    assert "10 persons" not in gaps_note(glasses, glasses, identified=False)


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
