"""Groups of a crowd, and which of them may be told."""

from __future__ import annotations

import numpy as np
import pytest

from gender_lightning.evaluation.statistics.prevalence import Reference
from gender_lightning.inference.population import ALL, PICTURES, Crowd, count, group_of, hidden
from gender_lightning.inference.stream.items import Item, PredictedPicture


def _predicted(name: str, *probabilities: float, second: float | None = None, status: str = "face") -> PredictedPicture:
    item = Item(name, name, None if second is None else 0, second)
    values = probabilities or (None,)
    return PredictedPicture(item, tuple({"probability": value, "status": status} for value in values))


@pytest.mark.parametrize(
    ("faces", "left_out"),
    [
        ({"a": 60, "b": 70}, set()),
        ({"a": 60, "b": 70, "c": 3}, {"c", "a"}),  # or c would be the total less a and b
        ({"a": 60, "b": 70, "c": 30, "d": 25}, {"c", "d"}),  # together they hide each other
        ({"a": 5}, {"a"}),
        ({"a": 5, "b": 4}, {"a", "b"}),
    ],
)
def test_what_could_be_told_by_subtraction_is_left_out_too(faces: dict[str, int], left_out: set[str]) -> None:
    assert hidden(faces, 50) == left_out


def test_pictures_become_sums() -> None:
    crowd = Crowd("folder", 60, 0.5)
    crowd.take([_predicted("x/1.jpg", 0.9, 0.2), _predicted("x/2.jpg", status="no_face"), _predicted("y/3.jpg", 0.6)])
    crowd.take([_predicted("y/4.jpg", status="unreadable"), _predicted("5.jpg", 0.4)])
    assert {group: len(tally) for group, tally in crowd.groups.items()} == {"x": 2, "y": 1, ".": 1}
    assert (crowd.pictures, crowd.without_face, crowd.unreadable) == (5, 1, 1)
    assert len(crowd.everyone) == 4 and crowd.everyone.decided == 2
    assert "jpg" not in repr(crowd)


def test_time_is_cut_into_spans_of_each_video() -> None:
    frame = Item("a.mp4", "a.mp4", 7, 125.0)
    assert group_of(frame, "time", 60) == "a.mp4 0:02:00-0:03:00"
    assert group_of(Item("a.jpg", "a.jpg"), "time", 60) == PICTURES
    assert group_of(frame, "none", 60) == ALL


def test_folders_called_all_and_pictures_are_groups_of_their_own() -> None:
    random = np.random.default_rng(1)
    labels = random.random(400) < 0.5
    reference = Reference.of(labels, np.where(labels, 0.9, 0.1) + random.normal(0, 0.03, 400), 0.5)
    crowd = Crowd("folder", 60, 0.5)
    crowd.take([_predicted(f"{folder}/{n}.jpg", 0.9) for folder in (ALL, PICTURES) for n in range(60)])
    how = {"method": "probabilities", "target": "crowd", "level": 0.95, "draws": 200, "seed": 0}
    lines = count(crowd, reference, 50, **how)  # type: ignore[arg-type]
    assert [(line.group, line.estimate.faces) for line in lines] == [(ALL, 120), ("./all", 60), ("./pictures", 60)]


def test_everyone_first_and_nothing_of_a_small_crowd() -> None:
    random = np.random.default_rng(1)
    labels = random.random(400) < 0.5
    reference = Reference.of(labels, np.where(labels, 0.9, 0.1) + random.normal(0, 0.03, 400), 0.5)
    crowd = Crowd("folder", 60, 0.5)
    crowd.take([_predicted(f"{folder}/{n}.jpg", 0.9 if n % 4 else 0.1) for folder in ("b", "a") for n in range(80)])
    crowd.take([_predicted("few/1.jpg", 0.9)])
    how = {"method": "probabilities", "target": "crowd", "level": 0.95, "draws": 300, "seed": 0}
    lines = count(crowd, reference, 50, **how)  # type: ignore[arg-type]
    assert [line.group for line in lines] == [ALL, "b"]  # a is left out with the single face
    assert lines[1].estimate.share == pytest.approx(0.75, abs=0.03)
    mixed = Crowd("time", 60, 0.5)
    mixed.take([_predicted(f"{n}.jpg", 0.9) for n in range(60)])
    assert [line.group for line in count(mixed, reference, 50, **how)] == [ALL]  # type: ignore[arg-type]
    mixed.take([_predicted("a.mp4", 0.1, second=float(n)) for n in range(55)])
    lines = count(mixed, reference, 50, **how)  # type: ignore[arg-type]
    assert [(line.group, line.estimate.faces) for line in lines] == [
        (ALL, 115), (PICTURES, 60), ("a.mp4 0:00:00-0:01:00", 55),
    ]  # fmt: skip
    assert count(crowd, reference, 200, **how) == []  # type: ignore[arg-type]


def test_folders_of_persons_count_persons() -> None:
    crowd = Crowd("folder", 60, 0.5, "folder")
    crowd.take([_predicted(f"{room}/{person}/{n}.jpg", 0.9) for room in "ab" for person in range(3) for n in range(4)])
    assert set(crowd.groups) == {"a", "b"} and crowd.size("a") == 3 and crowd.size(ALL) == 6
    people = crowd.people_of(ALL)
    assert people is not None and np.allclose(people, [[4, 4, 3.6]] * 6)
    random = np.random.default_rng(1)
    labels = random.random(400) < 0.5
    reference = Reference.of(labels, np.where(labels, 0.9, 0.1) + random.normal(0, 0.03, 400), 0.5)
    how = {"method": "probabilities", "target": "crowd", "level": 0.95, "draws": 300, "seed": 0}
    assert count(crowd, reference, 10, **how) == []  # type: ignore[arg-type]  # 24 faces, but 6 persons
    crowd.take([_predicted(f"a/{person}/1.jpg", 0.1) for person in range(3, 20)])
    lines = count(crowd, reference, 10, **how)  # type: ignore[arg-type]
    assert [(line.group, line.persons) for line in lines] == [(ALL, 23)]  # a would tell of b


def test_only_times_keep_the_order_in_which_they_came() -> None:
    random = np.random.default_rng(1)
    labels = random.random(400) < 0.5
    reference = Reference.of(labels, np.where(labels, 0.9, 0.1) + random.normal(0, 0.03, 400), 0.5)
    how = {"method": "probabilities", "target": "crowd", "level": 0.95, "draws": 200, "seed": 0}
    crowd = Crowd("folder", 60, 0.5)
    crowd.take([_predicted(f"{folder}/{n}.jpg", 0.9) for folder in ("b - c", "a - b") for n in range(60)])
    assert [line.group for line in count(crowd, reference, 50, **how)] == [ALL, "a - b", "b - c"]  # type: ignore[arg-type]
    film = Crowd("time", 60, 0.5)
    film.take([_predicted("a.mp4", 0.9, second=s) for s in (*[7200.0] * 60, *[36000.0] * 60)])
    lines = count(film, reference, 50, **how)  # type: ignore[arg-type]
    assert [line.group for line in lines] == [ALL, "a.mp4 2:00:00-2:01:00", "a.mp4 10:00:00-10:01:00"]
    assert film.frames == 120 and crowd.frames == 0
