"""Paired tests: hand-made cases, and how often they cry wolf when seeds differ but recipes do not."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from gender_lightning.comparison.pairs import Variance, compare_pairs, welch
from gender_lightning.comparison.runs.rows import Row
from gender_lightning.comparison.verdict import sentence, verdict
from gender_lightning.evaluation.statistics.intervals import Resampling
from gender_lightning.evaluation.statistics.proportions import Interval
from gender_lightning.evaluation.statistics.significance import holm


def row(label: str, *correct: NDArray[np.bool_]) -> Row:
    runs: Any = tuple(SimpleNamespace(name=f"{label}{seed}", correct=right) for seed, right in enumerate(correct))
    return Row(label, runs)


def right_except(images: int, wrong: range) -> NDArray[np.bool_]:
    right = np.ones(images, dtype=np.bool_)
    right[list(wrong)] = False
    return right


@pytest.fixture(scope="module")
def single() -> Resampling:
    return Resampling(np.arange(400), resamples=4000)


def test_two_single_runs_must_differ_by_both_tests(single: Resampling) -> None:
    worse, better = row("worse", right_except(400, range(0, 40))), row("better", right_except(400, range(30, 42)))
    (pair,) = compare_pairs([worse, better], single)
    expected = stats.binomtest(2, 32).pvalue  # 30 images only the better gets right, 2 only the worse
    assert (pair.first, pair.second, pair.over_seeds) == (1, 0, False)
    assert pair.difference == pytest.approx(28 / 400)
    assert pair.p_mcnemar == pytest.approx(expected) and pair.p == max(pair.p_people, pair.p_mcnemar)
    assert pair.interval.low < pair.difference < pair.interval.high and pair.differs
    assert (pair.mcnemar[0].test.only_first, pair.mcnemar[0].test.only_second) == (30, 2)


def test_images_of_few_people_count_less_than_mcnemar_believes() -> None:
    people = np.repeat(np.arange(20), 20)
    one, two = row("one", right_except(400, range(0, 20))), row("two", right_except(400, range(380, 382)))
    (pair,) = compare_pairs([one, two], Resampling(people, resamples=4000))
    assert pair.p_mcnemar < 0.001 < 0.2 < pair.p  # all of it is one person
    assert not pair.differs


def test_equal_models_cannot_be_told_apart(single: Resampling) -> None:
    same = right_except(400, range(0, 10))
    (pair,) = compare_pairs([row("a", same, same), row("b", same)], single)
    assert (pair.difference, pair.p, pair.differs) == (0.0, 1.0, False)


def test_every_pair_is_adjusted_for_all(single: Resampling) -> None:
    rows = [row(str(wrong), right_except(400, range(0, wrong))) for wrong in (8, 12, 20, 60)]
    pairs = compare_pairs(rows, single)
    assert len(pairs) == 6
    assert [pair.p_holm for pair in pairs] == pytest.approx(holm([pair.p for pair in pairs]).tolist())
    assert all(pair.p_holm >= pair.p and pair.difference >= 0 for pair in pairs)


def test_welch_is_scipys_with_equal_seeds_and_no_other_variance() -> None:
    one, two = [0.95, 0.96, 0.94], [0.93, 0.92, 0.935, 0.91]
    parts = [Variance(float(np.var(values, ddof=1)) / len(values), len(values) - 1) for values in (one, two)]
    interval, p = welch(float(np.mean(one) - np.mean(two)), parts)
    theirs = stats.ttest_ind(one, two, equal_var=False)
    assert p == pytest.approx(theirs.pvalue)
    assert tuple(interval) == pytest.approx(tuple(theirs.confidence_interval(0.95)))
    assert tuple(welch(0.1, [Variance(0.02, 1)])[0]) == (-1.0, 1.0)  # shares differ by no more
    assert welch(0.0, [Variance(0.0, 5)])[1] == 1.0 and welch(0.1, [Variance(0.0, 5)])[1] == 0.0


def test_seeds_that_differ_more_than_recipes_do_not_make_a_recipe_better() -> None:
    """Both recipes are one; each seed has a skill of its own. Twenty images of each of 60 people."""
    generator = np.random.default_rng(5)
    people = np.repeat(np.arange(60), 20)
    wrong_alarms, by_images_alone, trials = 0, 0, 120
    for _ in range(trials):
        hard = generator.normal(size=60)[people] + generator.normal(size=len(people))
        skills = 2 + 0.25 * generator.normal(size=6)
        runs = [hard + 0.5 * generator.normal(size=len(people)) < skill for skill in skills]
        (pair,) = compare_pairs([row("a", *runs[:3]), row("b", *runs[3:])], Resampling(people, resamples=600))
        wrong_alarms += pair.p < 0.05
        by_images_alone += pair.p_people < 0.05
    assert wrong_alarms <= stats.binom.ppf(0.999, trials, 0.05)
    assert by_images_alone > 3 * wrong_alarms  # what leaving the seeds out would have done


def test_the_verdict_in_words(single: Resampling) -> None:
    rows = [
        row("ResNet50", right_except(400, range(0, 10))),
        row("GoogLeNet", right_except(400, range(4, 16))),
        row("VGG19", right_except(400, range(0, 60))),
    ]
    accuracies = [float(one.runs[0].correct.mean()) for one in rows]
    said = verdict(rows, accuracies, compare_pairs(rows, single), 400)
    assert said.headline == (
        "ResNet50 has the highest accuracy, 97.5 %, but cannot be told apart from GoogLeNet; its run beat that of the "
        "other one. Each model is one run, and another seed could order them otherwise."
    )
    assert said.sentences[0].startswith("This run of ResNet50 beat that of VGG19 by 12.5 points (")
    assert said.sentences[-1].startswith("ResNet50 and GoogLeNet cannot be told apart on 400 images: 0.5 points (-")
    clear = verdict(rows[1:], accuracies[1:], compare_pairs(rows[1:], single), 400)
    assert clear.headline.startswith("The run of GoogLeNet is the most accurate, 97.0 %: it beat that of VGG19. Each")
    seeds = [row(one.label, one.runs[0].correct, np.roll(one.runs[0].correct, 100)) for one in rows[1:]]
    sure = verdict(seeds, accuracies[1:], compare_pairs(seeds, single), 400)
    assert sure.headline == "GoogLeNet is the most accurate, 97.0 %: it beats VGG19."
    assert verdict([row("x", rows[0].runs[0].correct, rows[0].runs[0].correct)], [0.975], [], 400).headline == (
        "The 2 runs differ in their seed alone, so that there is nothing to compare: x has a mean accuracy of 97.5 % "
        "on 400 images."
    )


def test_models_of_the_same_accuracy_are_not_ordered(single: Resampling) -> None:
    rows = [row(name, right_except(400, range(start, start + 8))) for name, start in (("a", 0), ("b", 4), ("c", 100))]
    accuracies = [0.98] * 3
    assert verdict(rows[:2], accuracies[:2], compare_pairs(rows[:2], single), 400).headline == (
        "a and b have the same accuracy, 98.0 %."
    )
    assert verdict(rows, accuracies, compare_pairs(rows, single), 400).headline == (
        "All 3 models have the same accuracy, 98.0 %."
    )


def test_a_p_that_is_nan_before_it_is_adjusted_never_leaves(single: Resampling) -> None:
    pairs = compare_pairs([row("a", right_except(400, range(3))), row("b", right_except(400, range(9)))], single)
    assert not any(math.isnan(pair.p_holm) for pair in pairs)


def of_equal_recipes(generator: np.random.Generator, *seeds: int, spread: float = 0.1) -> tuple[list[Row], Resampling]:
    """Rows of one recipe, each of so many runs; 100 people. A spread of 0.1 is about half a point of accuracy."""
    people = np.repeat(np.arange(100), 12)
    hard = generator.normal(size=100)[people] + generator.normal(size=len(people))

    def run() -> NDArray[np.bool_]:
        own = 0.4 * generator.normal(size=100)[people] + 0.5 * generator.normal(size=len(people))
        right: NDArray[np.bool_] = hard + own < 2.8 + spread * generator.normal()
        return right

    rows = [row(str(place), *(run() for _ in range(number))) for place, number in enumerate(seeds)]
    return rows, Resampling(people, resamples=2)


def test_a_row_without_seeds_borrows_their_spread() -> None:
    models = runs = 0
    for seed in range(80):
        rows, resampling = of_equal_recipes(np.random.default_rng(seed), 3, 1, 1, 1)
        pairs = compare_pairs(rows, resampling)
        models += any(pair.differs for pair in pairs)
        assert all(pair.over_seeds and pair.decided_by == "seeds" for pair in pairs)
        alone = compare_pairs(rows[1:], resampling)
        runs += any(pair.differs for pair in alone)
        for pair in alone:
            if pair.differs:
                said = verdict(rows[1:], [0.9] * 3, alone, 1200).sentences
                assert any(text.startswith("This run of") for text in said) and " beats " not in " ".join(said)
    assert models <= 8 and runs >= models, (models, runs)  # of 80; 4 are expected


def test_intervals_of_differences_cover_with_thirty_people() -> None:
    covered = 0
    for seed in range(200):
        generator = np.random.default_rng(seed)
        people = np.repeat(np.arange(30), np.clip(generator.geometric(1 / 17, 30), 1, 40))
        hard = generator.normal(size=30)[people] + generator.normal(size=len(people))
        own = [0.5 * generator.normal(size=30)[people] + 0.3 * generator.normal(size=len(people)) for _ in range(2)]
        rows = [row(name, hard + offset < 2.5) for name, offset in zip("ab", own, strict=True)]
        (pair,) = compare_pairs(rows, Resampling(people, resamples=2))
        covered += pair.interval.low <= 0
    assert covered / 200 >= 0.93 - 0.025


def test_few_people_decide_nothing() -> None:
    rows = [row("A", right_except(40, range(0, 2))), row("B", right_except(40, range(0, 16)))]
    pairs = compare_pairs(rows, Resampling(np.repeat(np.arange(2), 20), resamples=50))
    said = verdict(rows, [0.95, 0.6], pairs, 40)
    assert not pairs[0].differs and not pairs[0].judged
    assert "too few people to say which is better" in said.headline and "too few to say more" in said.sentences[0]


def test_the_test_that_decided_is_named() -> None:
    rows = [row("A", right_except(400, range(0, 1))), row("B", right_except(400, range(0, 9)))]
    (pair,) = compare_pairs(rows, Resampling(np.arange(400), resamples=50))
    named = replace(pair, p=0.06, p_holm=0.06, interval=Interval(0.001, 0.04))
    for decider, words in (
        ("mcnemar", "by McNemar's test"),
        ("people", "over people"),
        ("seeds", "over people and seeds"),
    ):
        assert f"images {words}: 2.0 points" in sentence(rows, replace(named, decided_by=decider), 1, 400)


def test_what_a_person_and_a_seed_have_together_is_counted_once() -> None:
    """It is in the variance over people and in that over seeds; the truth is the spread of 150 such comparisons."""
    differences, halves = [], []
    for seed in range(150):
        generator = np.random.default_rng(seed)
        people = np.repeat(np.arange(60), 20)
        hard = 0.5 * generator.normal(size=60)[people] + 0.5 * generator.normal(size=len(people))
        runs = [hard + generator.normal(size=60)[people] < 1.5 for _ in range(16)]
        (pair,) = compare_pairs([row("a", *runs[:8]), row("b", *runs[8:])], Resampling(people, resamples=2))
        differences.append(pair.difference if pair.first == 0 else -pair.difference)
        halves.append((pair.interval.high - pair.interval.low) / 2)
    wanted = stats.t.ppf(0.975, 2 * (8 - 1)) * float(np.std(differences))
    assert np.mean(np.abs(differences) <= halves) >= 0.93
    assert np.mean(halves) == pytest.approx(wanted, rel=0.25)  # counted twice: 1.41 times as wide
