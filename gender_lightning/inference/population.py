"""Counts of a crowd: what is kept of pictures are sums per group, and small groups are not reported."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from gender_lightning.evaluation.statistics.fit import goodness_of_fit
from gender_lightning.evaluation.statistics.prevalence import Estimate, Method, Reference, Tally, Target, estimate
from gender_lightning.evaluation.statistics.proportions import Floats
from gender_lightning.inference.stream.items import Item, Judged

By = Literal["none", "folder", "time"]
Persons = Literal["none", "folder"]
ALL = "all"


@dataclass
class Crowd:
    """Faces by group, as sums alone; pictures are forgotten as soon as they are counted.

    Attributes:
        by: What makes a group.
        window: Seconds of a video that are a group.
        threshold: A face is decided male from this probability on.
        persons: How it is known which faces are of one person: each folder is one, or not at all.
        groups: Sums of each group.
        people: Of each group, by person: faces, faces decided male, sum of probabilities. Empty where unknown.
        pictures: Seen.
        unreadable: Of those.
        without_face: Of those.
    """

    by: By
    window: float
    threshold: float
    persons: Persons = "none"
    groups: dict[str, Tally] = field(default_factory=dict)
    people: dict[str, dict[str, Floats]] = field(default_factory=dict)
    pictures: int = 0
    frames: int = 0  # of the pictures: those of videos and cameras
    unreadable: int = 0
    without_face: int = 0

    def take(self, pictures: Iterable[Judged]) -> None:
        """Count the faces of some pictures."""
        for picture in pictures:
            self.pictures += 1
            self.frames += picture.item.frame is not None
            probabilities = [row["probability"] for row in picture.rows if row["probability"] is not None]
            if not probabilities:
                self.unreadable += picture.rows[0]["status"] == "unreadable"
                self.without_face += picture.rows[0]["status"] != "unreadable"
                continue
            group = group_of(picture.item, self.by, self.window, self.persons)
            tally = Tally.of(probabilities, self.threshold)
            self.groups[group] = self.groups.get(group, Tally.empty()) + tally
            if self.persons == "folder":
                person = os.path.dirname(picture.item.name)
                sums = np.array([len(tally), tally.decided, tally.sums.sum()])
                known = self.people.setdefault(group, {})
                known[person] = known.get(person, np.zeros(3)) + sums

    @property
    def everyone(self) -> Tally:
        """All groups together."""
        return sum(self.groups.values(), Tally.empty())

    def people_of(self, group: str) -> Floats | None:
        """Sums (P, 3) of each person of a group, or of all of them (`ALL`); None where persons are unknown."""
        if self.persons == "none":
            return None
        if group in self.people:
            return np.stack(list(self.people[group].values()))
        return np.stack([sums for people in self.people.values() for sums in people.values()])

    def size(self, group: str) -> int:
        """Persons of a group, or faces where persons are unknown."""
        people = self.people_of(group)
        return len(people) if people is not None else len(self.everyone if group == ALL else self.groups[group])


@dataclass(frozen=True)
class Counted:
    """A line of the result; the men of the crowd are `share` times `faces`.

    Attributes:
        group: Its name.
        estimate: Of the share.
        fit: See `goodness_of_fit`.
        persons: In the group; None where they are unknown, so that every face was taken for another person.
    """

    group: str
    estimate: Estimate
    fit: float
    persons: int | None = None


def group_of(item: Item, by: By, window: float, persons: Persons = "none") -> str:
    """Where a picture is counted: everywhere the same, its folder, or a span of time of its video.

    Where each folder is a person, the folders above them are the groups.
    """
    if by == "folder":
        folder = os.path.dirname(item.name)
        return (os.path.dirname(folder) if persons == "folder" else folder) or "."
    if by == "time" and item.second is not None:
        start = int(item.second // window) * window
        return f"{item.name} {_clock(start)}-{_clock(start + window)}"
    return ALL


def hidden(faces: Mapping[str, int], minimum: int) -> set[str]:
    """The groups that are not reported.

    Those with fewer faces than the minimum; and where these together have fewer, the next smallest too, since the
    total less the reported groups would tell of them (secondary suppression, Willenborg and de Waal 2001).
    """
    small = {group for group, count in faces.items() if count < minimum}
    rest = sorted(faces.keys() - small, key=lambda group: (faces[group], group))
    while small and rest and sum(faces[group] for group in small) < minimum:
        small.add(rest.pop(0))
    return small


def count(
    crowd: Crowd,
    reference: Reference,
    minimum: int,
    *,
    method: Method,
    target: Target,
    level: float,
    draws: int,
    seed: int,
) -> list[Counted]:
    """Everyone, then the groups that are large enough, in their order; nothing where the crowd is too small.

    Args:
        crowd: The sums.
        reference: See `evaluation.prevalence`, as for the rest.
        minimum: Faces that a group must have; persons, where they are known.
        method: See `estimate`.
        target: See `estimate`.
        level: See `estimate`.
        draws: See `estimate`.
        seed: See `estimate`.
    """
    if not crowd.groups or crowd.size(ALL) < minimum:
        return []
    kept = {ALL: crowd.everyone}
    if set(crowd.groups) != {ALL}:
        left_out = hidden({group: crowd.size(group) for group in crowd.groups}, minimum)
        in_order = list(crowd.groups) if crowd.by == "time" else sorted(crowd.groups)  # 10:00 would come before 2:00
        kept |= {group: crowd.groups[group] for group in in_order if group not in left_out}
    lines = []
    for group, tally in kept.items():
        people = crowd.people_of(group)
        found = estimate(
            tally, reference, people=people, method=method, target=target, level=level, draws=draws, seed=seed
        )
        fit = goodness_of_fit(tally, reference, people=people, seed=seed)
        lines.append(Counted(group, found, fit, None if people is None else len(people)))
    return lines


def _clock(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
