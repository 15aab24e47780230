"""Tracks of faces through the frames of a video."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

from gender_lightning.evaluation.statistics.prevalence import Reference, estimate
from gender_lightning.inference.population import ALL, PICTURES, Crowd
from gender_lightning.inference.stream.items import Item, PredictedPicture
from gender_lightning.inference.tracking import Tracker, overlaps


def test_the_overlap_is_torchvisions() -> None:
    random = np.random.default_rng(1)
    first, second = random.uniform(0, 40, (7, 4)), random.uniform(0, 40, (5, 4))
    corners = [torch.from_numpy(np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])) for boxes in (first, second)]
    assert np.allclose(overlaps(first, second), box_iou(*corners))
    assert overlaps(np.zeros((0, 4)), second).shape == (0, 5)


def test_faces_are_followed_and_a_return_is_somebody_new() -> None:
    tracker = Tracker()
    assert tracker.take([(0, 0, 20, 20), (100, 0, 20, 20)], 0.0) == [0, 1]
    assert tracker.take([(96, 0, 20, 20), (4, 0, 20, 20)], 0.04) == [1, 0]  # in another order
    assert tracker.take([(8, 0, 20, 20)], 0.08) == [0]  # the second is missed
    assert tracker.take([(95, 0, 20, 20), (12, 0, 20, 20), (50, 50, 9, 9)], 0.9) == [1, 0, 2]
    assert tracker.take([(95, 0, 20, 20)], 3.0) == [3]  # too long ago
    assert tracker.take([(300, 0, 20, 20)], 3.1) == [4]  # elsewhere
    assert tracker.take([], 3.2) == []


def test_one_face_continues_in_one_box_only() -> None:
    tracker = Tracker()
    tracker.take([(0, 0, 20, 20)], 0.0)
    assert tracker.take([(6, 0, 20, 20), (1, 0, 20, 20)], 0.04) == [1, 0]


def _frame(video: str, second: float, *faces: tuple[int, float]) -> PredictedPicture:
    rows = tuple(
        {"probability": value, "status": "face", "left": left, "top": 0, "width": 30, "height": 30}
        for left, value in faces
    )
    return PredictedPicture(Item(video, video, round(second * 25), second), rows)


def test_tracks_count_once_and_widen_the_interval() -> None:
    random = np.random.default_rng(3)
    labels = random.random(400) < 0.5
    reference = Reference.of(labels, np.clip(np.where(labels, 0.9, 0.1) + random.normal(0, 0.05, 400), 0, 1), 0.5)
    crowd, blind = (Crowd("time", 60, 0.5, persons) for persons in ("track", "none"))
    for person in range(30):  # each stays for two seconds, ten frames of which are seen
        said = 0.9 if person % 3 else 0.1
        for frame in range(10):
            second = 4.0 * person + 0.2 * frame
            picture = _frame("a.mp4", second, (frame, said), (200 - frame, 1 - said))
            crowd.take([picture])
            blind.take([picture])
    crowd.take([_frame("b.mp4", 0.0, (0, 0.9))])
    picture = {"probability": 0.9, "status": "crop", "left": 0, "top": 0, "width": 9, "height": 9}
    crowd.take([PredictedPicture(Item("c.jpg", "c.jpg"), (picture, picture))])
    assert crowd.size(ALL) == 60 + 1 + 2 and blind.size(ALL) == 600
    assert "mp4" not in repr(crowd.groups[PICTURES])
    people = crowd.people_of(ALL)
    assert people is not None and people[:, 0].sum() == 603
    wide = estimate(crowd.everyone, reference, people=people, target="population")
    narrow = estimate(blind.everyone, reference, target="population")
    assert wide.share == pytest.approx(narrow.share, abs=0.01)
    assert wide.high - wide.low > 1.7 * (narrow.high - narrow.low)  # 60 persons, where 600 faces were seen


def test_after_a_cut_a_face_in_the_same_place_is_somebody_new() -> None:
    crowd = Crowd("none", 60, 0.5, "track")
    shots = [_frame("a.mp4", 0.2 * frame, (40, 0.9)) for frame in range(10)]
    shots[5] = replace(shots[5], item=replace(shots[5].item, cut=True))
    crowd.take(shots)
    assert crowd.size(ALL) == 2


def test_a_track_over_two_windows_is_one_person_of_all() -> None:
    crowd = Crowd("time", 60, 0.5, "track")
    crowd.take([_frame("a.mp4", second, (0, 0.9)) for second in (59.2, 59.8, 60.4, 61.0)])
    assert [crowd.size(group) for group in crowd.groups] == [1, 1] and crowd.size(ALL) == 1
