"""Counts of a crowd: only sums per group are kept, never pictures, and small groups are not reported."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from gender_lightning.evaluation.statistics.fit import goodness_of_fit
from gender_lightning.evaluation.statistics.prevalence import Estimate, Method, Reference, Tally, Target, estimate
from gender_lightning.evaluation.statistics.proportions import Floats
from gender_lightning.inference.stream.items import Item, PredictedPicture, Row
from gender_lightning.inference.tracking import Tracker
from gender_lightning.notebook import as_html

if TYPE_CHECKING:
    import pandas as pd

By = Literal["none", "folder", "time"]
Persons = Literal["none", "folder", "track"]
ALL = "all"
PICTURES = "pictures"  # those that have no time, beside videos


@dataclass
class Crowd:
    """Sums over faces, by group; a picture is forgotten as soon as its faces are counted.

    Attributes:
        by: What defines a group.
        window: Length of a group by time, in seconds of a video.
        threshold: Probability from which a face is counted as male.
        persons: Which faces belong to one person: those of one folder, those of one track of a video (`Tracker`), or
            unknown. With tracks, every face of a picture that is no frame is a person of its own.
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
    _video: str = ""
    _tracker: Tracker = field(default_factory=Tracker)
    _single: int = 0

    def take(self, pictures: Iterable[PredictedPicture]) -> None:
        """Count the faces of some pictures."""
        for picture in pictures:
            self.pictures += 1
            self.frames += picture.item.frame is not None
            faces = [row for row in picture.rows if row["probability"] is not None]
            probabilities = [row["probability"] for row in faces]
            if not probabilities:
                self.unreadable += picture.rows[0]["status"] == "unreadable"
                self.without_face += picture.rows[0]["status"] != "unreadable"
                continue
            group = group_of(picture.item, self.by, self.window, self.persons)
            self.groups[group] = self.groups.get(group, Tally.empty()) + Tally.of(probabilities, self.threshold)
            if self.persons != "none":
                known = self.people.setdefault(group, {})
                for person, probability in zip(self._persons(picture.item, faces), probabilities, strict=True):
                    sums = np.array([1, probability >= self.threshold, probability])
                    known[person] = known.get(person, np.zeros(3)) + sums

    def _persons(self, item: Item, faces: list[Row]) -> list[str]:
        """A name for the person of each face of a picture, the same for all faces of one person."""
        if self.persons == "folder":
            return [os.path.dirname(item.name)] * len(faces)
        if item.second is None:
            self._single += len(faces)
            return [f"{self._single - place}" for place in range(len(faces))]
        if item.name != self._video:
            self._video, self._tracker = item.name, Tracker()
        if item.cut:
            self._tracker.forget()
        boxes = [(row["left"], row["top"], row["width"], row["height"]) for row in faces]
        return [f"{item.name}\0{track}" for track in self._tracker.take(boxes, item.second)]

    @property
    def everyone(self) -> Tally:
        """The sums of all groups together."""
        return sum(self.groups.values(), Tally.empty())

    def people_of(self, group: str) -> Floats | None:
        """Sums (P, 3) of each person of a group, or of all groups (`ALL`); None if persons are unknown."""
        if self.persons == "none":
            return None
        if group != ALL:
            return np.stack(list(self.people[group].values()))
        everyone: dict[str, Floats] = {}
        for people in self.people.values():
            for person, sums in people.items():  # a track may have gone on into the next window
                everyone[person] = everyone.get(person, np.zeros(3)) + sums
        return np.stack(list(everyone.values()))

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


class Counts(list[GroupCount]):
    """The lines of a count: that of all faces first, then one per group.

    Args:
        lines: The lines.
        class_names: Names of the two classes.
    """

    def __init__(self, lines: Iterable[GroupCount], class_names: Sequence[str]) -> None:
        super().__init__(lines)
        self.class_names = tuple(class_names)

    def rows(self) -> list[dict[str, Any]]:
        """One mapping per line, as in the file that `output=` names."""
        return [_row(line, *self.class_names) for line in self]

    def table(self) -> pd.DataFrame:
        """The same as a table."""
        import pandas as pd

        return pd.DataFrame(self.rows())

    def _repr_html_(self) -> str:
        rows = [
            [f"{value:.4f}" if isinstance(value, float) else f"{value}" for value in row.values()]
            for row in self.rows()
        ]
        return as_html(f"Share of {self.class_names[1]}", list(self.rows()[0]) if self else (), rows)


def _row(line: GroupCount, female: str, male: str) -> dict[str, Any]:
    found = line.estimate
    men = round(found.share * found.faces)
    return {
        "group": line.group,
        "faces": found.faces,
        **({} if line.persons is None else {"persons": line.persons}),
        female: found.faces - men,
        male: men,
        f"share_{male}": round(found.share, 4),
        "share_low": round(found.low, 4),
        "share_high": round(found.high, 4),
        "uncorrected": round(found.naive, 4),
        "fit": round(line.fit, 4),
    }


def group_of(item: Item, by: By, window: float, persons: Persons = "none") -> str:
    """The group of a picture: the only one, its folder, or a span of time in its video.

    If each folder is a person, the folders above them are the groups.
    """
    if by == "folder":
        folder = os.path.dirname(item.name)
        group = (os.path.dirname(folder) if persons == "folder" else folder) or "."
        return f"./{group}" if group in (ALL, PICTURES) else group  # these two names stand for something else
    if by == "time":
        if item.second is None:
            return PICTURES
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
    if set(crowd.groups) - {ALL, PICTURES}:
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
