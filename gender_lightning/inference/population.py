"""Counts of a crowd: what is kept of pictures are sums per group, and small groups are not reported."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from gender_lightning.evaluation.statistics.prevalence import (
    Estimate,
    Method,
    Reference,
    Tally,
    Target,
    estimate,
    goodness_of_fit,
)
from gender_lightning.inference.stream.items import Item, Judged

By = Literal["none", "folder", "time"]
ALL = "all"


@dataclass
class Crowd:
    """Faces by group, as sums alone; pictures are forgotten as soon as they are counted."""

    by: By
    window: float  # seconds
    threshold: float
    groups: dict[str, Tally] = field(default_factory=dict)
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
            group = group_of(picture.item, self.by, self.window)
            self.groups[group] = self.groups.get(group, Tally.empty()) + Tally.of(probabilities, self.threshold)

    @property
    def everyone(self) -> Tally:
        """All groups together."""
        return sum(self.groups.values(), Tally.empty())


@dataclass(frozen=True)
class Counted:
    """A line of the result; the men of the crowd are `share` times `faces`."""

    group: str
    estimate: Estimate
    fit: float


def group_of(item: Item, by: By, window: float) -> str:
    """Where a picture is counted: everywhere the same, its folder, or a span of time of its video."""
    if by == "folder":
        return os.path.dirname(item.name) or "."
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
        minimum: Faces that a group must have.
        method: See `estimate`.
        target: See `estimate`.
        level: See `estimate`.
        draws: See `estimate`.
        seed: See `estimate`.
    """
    everyone = crowd.everyone
    if len(everyone) < minimum:
        return []
    kept = {ALL: everyone}
    if set(crowd.groups) != {ALL}:
        in_order = list(crowd.groups) if crowd.by == "time" else sorted(crowd.groups)  # 10:00 would come before 2:00
        left_out = hidden({group: len(tally) for group, tally in crowd.groups.items()}, minimum)
        kept |= {group: crowd.groups[group] for group in in_order if group not in left_out}
    return [
        Counted(
            group,
            estimate(tally, reference, method=method, target=target, level=level, draws=draws, seed=seed),
            goodness_of_fit(tally, reference, seed=seed),
        )
        for group, tally in kept.items()
    ]


def _clock(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
