"""Counts of a crowd: only sums per group are kept, never pictures, and small groups are not reported."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from gender_lightning.evaluation.statistics.fit import goodness_of_fit
from gender_lightning.evaluation.statistics.prevalence import Estimate, Method, Reference, Tally, Target, estimate
from gender_lightning.evaluation.statistics.proportions import Floats
from gender_lightning.inference.stream.items import Item, PredictedPicture

By = Literal["none", "folder", "time"]
Persons = Literal["none", "folder"]
ALL = "all"


@dataclass
class Crowd:
    """Sums over faces, by group; a picture is forgotten as soon as its faces are counted.

    Attributes:
        by: What defines a group.
        window: Length of a group by time, in seconds of a video.
        threshold: Probability from which a face is counted as male.
        persons: Which faces belong to one person: those of one folder, or unknown.
        groups: Sums of each group.
        people: For each group and person: faces, faces counted as male, sum of probabilities. Empty if persons are
            unknown.
        pictures: Number of pictures.
        frames: Number of pictures that are frames of videos or cameras.
        unreadable: Number of pictures that could not be read.
        without_face: Number of pictures in which no face was found.
    """

    by: By
    window: float
    threshold: float
    persons: Persons = "none"
    groups: dict[str, Tally] = field(default_factory=dict)
    people: dict[str, dict[str, Floats]] = field(default_factory=dict)
    pictures: int = 0
    frames: int = 0
    unreadable: int = 0
    without_face: int = 0

    def take(self, pictures: Iterable[PredictedPicture]) -> None:
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
        """The sums of all groups together."""
        return sum(self.groups.values(), Tally.empty())

    def people_of(self, group: str) -> Floats | None:
        """Sums (P, 3) of each person of a group, or of all groups (`ALL`); None if persons are unknown."""
        if self.persons == "none":
            return None
        if group in self.people:
            return np.stack(list(self.people[group].values()))
        return np.stack([sums for people in self.people.values() for sums in people.values()])

    def size(self, group: str) -> int:
        """Number of persons in a group, or of faces if persons are unknown."""
        people = self.people_of(group)
        return len(people) if people is not None else len(self.everyone if group == ALL else self.groups[group])


@dataclass(frozen=True)
class GroupCount:
    """A line of the result; the number of men in the crowd is `share` times `faces`.

    Attributes:
        group: Name of the group.
        estimate: Estimate of the share of men.
        fit: See `goodness_of_fit`.
        persons: Number of persons; None if they are unknown, so that every face was counted as a person of its own.
    """

    group: str
    estimate: Estimate
    fit: float
    persons: int | None = None


def group_of(item: Item, by: By, window: float, persons: Persons = "none") -> str:
    """The group of a picture: the only one, its folder, or a span of time in its video.

    If each folder is a person, the folders above them are the groups.
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

    Groups with fewer faces than the minimum are hidden. If these together still have fewer, the next smallest group is
    hidden too, since the total minus the reported groups would disclose them (secondary suppression, Willenborg and
    de Waal 2001).
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
) -> list[GroupCount]:
    """The line of the whole crowd, then those of the groups that are large enough; none if the crowd is too small.

    Args:
        crowd: The sums.
        reference: See `evaluation.statistics.prevalence`.
        minimum: Least number of persons in a group that is reported, or of faces if persons are unknown.
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
        lines.append(GroupCount(group, found, fit, None if people is None else len(people)))
    return lines


def _clock(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
