"""The queue of a review, its answers on disk, and the rate of wrong labels that follows."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from gender_lightning.audit.findings import Doubt
from gender_lightning.audit.review import (
    ReviewAnswer,
    ReviewItem,
    estimate,
    hypergeometric,
    queue,
    read_answers,
    read_audit,
    summary,
    write_answers,
)
from gender_lightning.data.rows.revising import read_corrections
from gender_lightning.data.sources.annotations import Index
from gender_lightning.errors import UserError


def index(n: int) -> Index:
    return Index(
        np.array([f"{row}.jpg" for row in range(n)], dtype=np.bytes_), np.zeros(n, np.int8), np.zeros(n, np.int8),
        np.zeros((n, 0), np.bool_), (),
    )  # fmt: skip


def test_the_queue_is_all_suspects_and_a_sample_in_random_order() -> None:
    doubts = [Doubt(f"{row}.jpg", "because") for row in range(0, 60, 2)] + [Doubt("gone.jpg", "because")]
    items = queue(index(1000), doubts, 50, seed=1)
    suspected = [item.image_id for item in items if item.reason]
    assert len(items) == 80 and sorted(suspected) == sorted(f"{row}.jpg" for row in range(0, 60, 2))
    assert items == queue(index(1000), doubts, 50, seed=1) and items != queue(index(1000), doubts, 50, seed=2)
    places = [place for place, item in enumerate(items) if item.reason]
    assert stats.mannwhitneyu(places, sorted(set(range(80)) - set(places))).pvalue > 0.01
    assert len({item.image_id for item in items}) == 80


def test_answers_survive_and_read_as_corrections(tmp_path: Path) -> None:
    items = [ReviewItem("=1+1.jpg", 1, "x"), ReviewItem("b,ä.jpg", 0)]
    unsure = ReviewAnswer("cannot tell", "2026-01-01T00:00:00+00:00")
    answers = {"b,ä.jpg": unsure, "=1+1.jpg": ReviewAnswer("wrong", "t")}
    write_answers(tmp_path / "corrections.csv", items, answers)
    assert read_answers(tmp_path / "corrections.csv") == answers
    read = read_corrections(tmp_path / "corrections.csv")
    assert read[b"=1+1.jpg"].label == 1 and read["b,ä.jpg".encode()].verdict == "cannot tell"
    assert read_answers(tmp_path / "none.csv") == {}


@pytest.mark.parametrize("content", ["[]", '{"data": {}, "review": [{"image_id": 3}]}', "{", '{"review": []}'])
def test_what_is_no_audit_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "audit.json").write_text(content)
    with pytest.raises(UserError):
        read_audit(tmp_path / "audit.json")


def test_the_interval_of_a_finite_population_covers_and_vanishes_with_a_census() -> None:
    assert hypergeometric(3, 10, 10) == (0.3, 0.3)
    for wrong in (0, 1, 7, 40, 100):  # exact coverage, summed over all samples that there can be
        chances = stats.hypergeom.pmf(np.arange(31), 100, wrong, 30)
        covered = sum(p for hits, p in enumerate(chances) if p > 0 and wrong / 100 in hypergeometric(hits, 30, 100))
        assert covered >= 0.95 - 1e-9, (wrong, covered)


def test_the_estimated_rate_is_unbiased_and_its_interval_covers() -> None:
    """2,000 images of which 40 are wrong, half of them among 100 suspects; samples of 150 others."""
    rng = np.random.default_rng(0)
    wrong = {*range(20), *range(1000, 1020)}
    values, covered = [], 0
    for _ in range(100):
        others = rng.choice(np.arange(100, 2000), 150, replace=False).tolist()
        items = [ReviewItem(str(row), 0, "x") for row in range(100)] + [ReviewItem(str(row), 0) for row in others]
        verdicts = {item.image_id: "wrong" if int(item.image_id) in wrong else "right" for item in items}
        answers = {image_id: ReviewAnswer(verdict, "") for image_id, verdict in verdicts.items()}
        rate = estimate(items, answers, 2000)
        values.append(rate.value)
        covered += 0.02 in rate.interval
    assert np.mean(values) == pytest.approx(0.02, abs=0.001)
    assert covered >= 89  # 100 at 95 % are 95 +- 2


def test_nothing_is_estimated_before_both_kinds_were_looked_at() -> None:
    items = [ReviewItem("a", 0, "x"), ReviewItem("b", 0)]
    assert math.isnan(estimate(items, {"a": ReviewAnswer("wrong", "")}, 50).value)
    assert "once images of both kinds" in summary(items, {"a": ReviewAnswer("wrong", "")}, 50)
    told = summary(items, {"a": ReviewAnswer("wrong", ""), "b": ReviewAnswer("right", "")}, 50)
    assert "2.00 % (2.00 to 96.00)" in told  # one wrong suspect; of the 49 others one was right, and 47 may be wrong
