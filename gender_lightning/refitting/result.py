"""What a refit has found, in numbers and in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from gender_lightning.console import shown
from gender_lightning.data.rows.groups import Groups
from gender_lightning.evaluation.subgroups.group_words import group_in_words
from gender_lightning.notebook import as_html
from gender_lightning.refitting.choosing import Aim
from gender_lightning.refitting.judging import BeforeAfter, HeadComparison

Head = Literal["new", "old"]
VERSION = 1  # of refit.json


@dataclass(frozen=True)
class SplitResult:
    """Some of the data.

    Attributes:
        splits: The splits that the images are of.
        images: Number of images.
        persons: Number of persons; None where they are unknown.
        males: Number of images of males.
    """

    splits: tuple[str, ...]
    images: int
    persons: int | None
    males: int


@dataclass(frozen=True)
class Refit:
    """The result of `refit`.

    Attributes:
        path: The new run directory.
        source: The run or checkpoint that was refitted.
        backbone: Its network.
        data: Kind of the data.
        own_data: Whether the model was trained on (another part of) these data.
        method: Name of the method, as in `method=`.
        words: What the method does, as a noun phrase.
        chosen: The setting that was chosen within the fitting data.
        aim: What was to be raised: `worst_group` or `balanced_accuracy`.
        most_lost: Largest fall of accuracy that might be the price.
        groups: The groups and their fitting images.
        features: Number of inputs of the last layer.
        fit_part: The fitting data.
        report_part: The images of the report, which no choice has seen.
        fit: Old and new head on the fitting data, each person by fits that have not seen them.
        report: Old and new head on the images of the report.
        gained: Whether the fitting data show a gain beyond chance at an acceptable price.
        head: The head in the new checkpoint.
        kept_by: `auto` or `always`.
        temperature: Before and after.
        threshold: Before and after.
        seconds: Time that features and fits took.
        remarks: What else should be known.
    """

    path: Path
    source: str
    backbone: str
    data: str
    own_data: bool
    method: str
    words: str
    chosen: Mapping[str, Any]
    aim: str
    most_lost: float
    groups: Mapping[str, int]
    features: int
    fit_part: SplitResult
    report_part: SplitResult
    fit: HeadComparison
    report: HeadComparison
    gained: bool
    head: Head
    kept_by: str
    temperature: tuple[float, float]
    threshold: tuple[float, float]
    seconds: Mapping[str, float]
    remarks: tuple[str, ...] = ()

    def __fspath__(self) -> str:
        """The run directory, so that the result can be given wherever a path can."""
        return str(self.path)

    def _repr_html_(self) -> str:
        """What a notebook shows: the verdict, and where the new run is."""
        return as_html(f"Refit of {self.source}", sentences=[*self.verdict(), f"Run: {shown(self.path)}"])

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `refit.json`; nan becomes null."""
        plain = {"version": VERSION, "verdict": list(self.verdict()), **asdict(self), "path": str(self.path)}
        return {key: _plain(value) for key, value in plain.items()}

    def verdict(self) -> tuple[str, ...]:
        """What was gained, and which head the new checkpoint has, in sentences."""
        return (
            self._decision(),
            _told("On the fitting data, each person judged by fits without them,", self.fit, self.aim),
            _told("On the images of the report, which no choice has seen,", self.report, self.aim),
        )

    def _decision(self) -> str:
        if self.gained:
            return "Something was gained: the checkpoint has the new head."
        why = (
            f"accuracy falls by more than {100 * self.most_lost:.1f} points"
            if self.fit.row("accuracy").difference.value < -self.most_lost and self.fit.row(self.aim).surely
            else "no more than chance"
        )
        if self.head == "old":
            return f"Nothing was gained ({why}): the checkpoint keeps the old head (keep=always takes the new one)."
        return f"Nothing was gained ({why}): the checkpoint has the new head because of keep=always."


def gained(fit: HeadComparison, aim: Aim) -> bool:
    """Whether the aim rises beyond chance, and accuracy does not fall by more than it may."""
    row = fit.row(name_of(aim))
    return row.difference.value > 0 and row.surely and fit.row("accuracy").difference.value >= -aim.most_lost - 1e-12


def name_of(aim: Aim) -> str:
    """The row that is to be raised."""
    return "worst_group" if aim.groups else "balanced_accuracy"


def sizes_of(groups: Groups) -> dict[str, int]:
    """Fitting images of each group."""
    return dict(zip(groups.names, groups.counts, strict=True))


def _told(where: str, judged: HeadComparison, aim: str) -> str:
    row, accuracy = judged.row(aim), judged.row("accuracy")
    if aim == "worst_group":
        first, second = (group_in_words(name) for name in judged.worst)
        what = f"the worst group ({first if first == second else f'first {first}, then {second}'})"
    else:
        what = "balanced accuracy"
    return f"{where} {what} goes from {_change(row)}; accuracy from {_change(accuracy)}."


def _change(row: BeforeAfter) -> str:
    ends = row.difference.times(100)
    interval = f", {ends.ends(1)}" if ends.ends(1) else ""
    sure = "beyond chance" if row.surely else "no more than chance"
    if ends.ends(1) and not row.surely and not row.across:
        sure += f": the interval leaves out 0, but the test of the resamples, p = {row.p:.2f}, does not bear it out"
    return (
        f"{100 * row.before.value:.1f} % to {100 * row.after.value:.1f} % ({100 * row.difference.value:+.1f} "
        f"points{interval}; {sure})"
    )


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
