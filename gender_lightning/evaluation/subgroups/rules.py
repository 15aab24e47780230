"""Which subgroups are looked at: every attribute, measured properties, and faces against the stereotype."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gender_lightning.evaluation.results import Group
from gender_lightning.evaluation.statistics.proportions import Floats

Flags = NDArray[np.bool_]
EXPRESSION = ("Smiling", "Mouth_Slightly_Open", "Narrow_Eyes", "High_Cheekbones")
SHARE = 0.2  # of the split in a slice of a measured property
# CelebA labels no length of hair: wavy hair and bangs are the nearest to long, a receding hairline to short.
_UNLIKE_MALE = (
    ("Wearing_Lipstick", 1), ("Heavy_Makeup", 1), ("Blond_Hair", 1), ("Wavy_Hair", 1), ("Bangs", 1),
    ("Wearing_Earrings", 1), ("Wearing_Necklace", 1),
)  # fmt: skip
_UNLIKE_FEMALE = (
    ("Wearing_Hat", 1), ("Bald", 1), ("Receding_Hairline", 1), ("Heavy_Makeup", 0), ("Wearing_Lipstick", 0),
    ("Young", 0), ("Gray_Hair", 1), ("Eyeglasses", 1), ("Wearing_Necktie", 1),
)  # fmt: skip


@dataclass(frozen=True)
class SliceRule:
    """A subgroup before anything is measured on it.

    Attributes:
        name: Name in files.
        group: Heading.
        rule: What belongs to it, in words.
        rest: `other images`, `other males` or `other females`.
        members: (N,).
        population: (N,): members and rest.
        test: Slices that are each other's rest are one test, which they share by this name.
    """

    name: str
    group: Group
    rule: str
    rest: str
    members: Flags
    population: Flags
    test: str


@dataclass(frozen=True)
class _Extreme:
    """The images at one end of a measured property."""

    name: str
    group: Group
    measured: str
    highest: bool
    absolute: bool = False


_EXTREMES = (
    _Extreme("dark", "lighting", "brightness", False),
    _Extreme("bright", "lighting", "brightness", True),
    _Extreme("low contrast", "lighting", "contrast", False),
    _Extreme("high contrast", "lighting", "contrast", True),
    _Extreme("side light", "lighting", "side_light", True, absolute=True),
    _Extreme("frontal", "pose", "head_turn", False, absolute=True),
    _Extreme("profile", "pose", "head_turn", True, absolute=True),
    _Extreme("tilted", "pose", "head_tilt", True, absolute=True),
    _Extreme("small face", "pose", "face_size", False),
    _Extreme("large face", "pose", "face_size", True),
    _Extreme("unsharp", "other", "sharpness", False),
    _Extreme("sharp", "other", "sharpness", True),
)


def slice_rules(labels: ArrayLike, attributes: Mapping[str, Flags], measured: Mapping[str, Floats]) -> list[SliceRule]:
    """All subgroups of a split, those without images too.

    Args:
        labels: (N,), 1 male, 0 female.
        attributes: CelebA's, each (N,); may be empty.
        measured: Properties, each (N,), by the names of `properties`; what is not there makes no slice.
    """
    male = np.asarray(labels).astype(np.bool_)
    return [*_extremes(measured, len(male)), *_attributes(attributes), *likeness_rules(male, attributes)]


def _extremes(measured: Mapping[str, Floats], n: int) -> Iterator[SliceRule]:
    for extreme in _EXTREMES:
        if extreme.measured not in measured:
            continue
        values = np.asarray(measured[extreme.measured], dtype=np.float64)
        values = np.abs(values) if extreme.absolute else values
        known = np.isfinite(values)
        if not known.any() or values[known].min() == values[known].max():
            continue  # all alike: nothing is at an end
        cut = float(np.quantile(values[known], 1 - SHARE if extreme.highest else SHARE))
        with np.errstate(invalid="ignore"):
            members = known & (values >= cut if extreme.highest else values <= cut)
        sign, end = (">=", "highest") if extreme.highest else ("<=", "lowest")
        shown = f"|{extreme.measured}|" if extreme.absolute else extreme.measured
        yield SliceRule(
            extreme.name,
            extreme.group,
            f"{shown} {sign} {cut:.3g} ({end} fifth)",
            "other images",
            members,
            known,
            extreme.name,
        )


def _attributes(attributes: Mapping[str, Flags]) -> Iterator[SliceRule]:
    for name, values in attributes.items():
        group: Group = "expression" if name in EXPRESSION else "other"
        everyone = np.ones(len(values), dtype=np.bool_)
        for value in (1, 0):
            rule = f"{name}={value}"
            yield SliceRule(rule, group, rule, "other images", values == value, everyone, name)


def likeness_rules(male: Flags, attributes: Mapping[str, Flags]) -> Iterator[SliceRule]:
    """Faces that look, to the stereotype, like the other class; each compared within its own class; all (N,)."""
    for word, population, cells in (("male", male, _UNLIKE_MALE), ("female", ~male, _UNLIKE_FEMALE)):
        for attribute, value in cells:
            if attribute in attributes:
                name = f"{word} {attribute}={value}"
                members = population & (attributes[attribute] == value)
                rule = f"{word}, {attribute}={value}"
                yield SliceRule(name, "likeness", rule, f"other {word}s", members, population, name)
