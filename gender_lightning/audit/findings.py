"""The findings of an audit: counts, ids, and words that claim no more than the counts support."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Part = Literal["labels", "pictures", "duplicates", "suspects", "imbalance"]
FORMAT = 1

# What `fail_on` may name, with a line for its help.
KINDS: dict[str, str] = {
    "contradictions": "images that contradict the other labels of the same person",
    "persons_across_splits": "persons with images in several splits",
    "disagreeing_files": "images about which label files disagree",
    "rows_without_picture": "rows of the label files without a picture",
    "exact_duplicates": "pictures that are present more than once, with exactly the same pixels",
    "near_duplicates": "pictures that look almost the same",
    "duplicates_across_splits": "pictures that have an equal or almost equal one in another split",
    "duplicates_with_other_label": "pictures that have an equal or almost equal one with the other label",
    "alike": "pictures that a model sees almost like another one",
    "unreadable": "pictures that do not decode",
    "tiny": "pictures with a short side below the limit",
    "grey": "pictures without colour",
    "dark": "pictures whose mean brightness is below the limit",
    "blurred": "pictures without fine detail",
    "no_face": "pictures in which the detector finds no face",
    "several_faces": "pictures in which the detector finds several faces",
    "suspects": "labels that models which have not learned from them confidently contradict",
    "small_to_learn": "cells of label and attribute with few images in train",
    "small_to_judge": "cells of label and attribute with few people in test",
}


@dataclass(frozen=True)
class Finding:
    """The finding of one kind.

    Attributes:
        kind: A key of `KINDS`.
        part: Section of the page.
        title: Heading.
        count: Number of cases, in `unit`.
        total: Number of items that were checked.
        unit: What is counted, in the plural.
        said: What was found and what it does not show, in a sentence or two.
        columns: Names of the columns of `rows`.
        rows: The cases, the clearest first; ids are text.
    """

    kind: str
    part: Part
    title: str
    count: int
    total: int
    unit: str
    said: str
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()

    @property
    def share(self) -> float:
        """Share of `total`; 0 if there is nothing."""
        return self.count / self.total if self.total else 0.0


@dataclass(frozen=True)
class Doubt:
    """An image that a person should look at.

    Attributes:
        image_id: Name of the image in the data set.
        reason: Why the image is suspected, for the reviewer.
    """

    image_id: str
    reason: str


@dataclass(frozen=True)
class Audit:
    """All findings of one data set.

    Attributes:
        data: The data section, as `config.yaml` would hold it.
        images: Number of rows checked.
        males: Number of these labelled male.
        splits: Number of rows of each split.
        persons: Number of identities; None where they are not known.
        findings: All findings, in the order of the page.
        doubts: Images for review, each once, the clearest first.
        left_out: What was not looked at, and how it could be; a sentence each.
        seconds: Duration of each step.
    """

    data: dict[str, Any]
    images: int
    males: int
    splits: dict[str, int]
    persons: int | None
    findings: tuple[Finding, ...]
    doubts: tuple[Doubt, ...] = ()
    left_out: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)

    def finding(self, kind: str) -> Finding | None:
        """The finding of this kind; None if it was not looked for."""
        return next((found for found in self.findings if found.kind == kind), None)


def to_json(audit: Audit) -> dict[str, Any]:
    """Plain dicts, lists, texts and numbers."""
    return {
        "format": FORMAT,
        "data": audit.data,
        "images": audit.images,
        "males": audit.males,
        "splits": audit.splits,
        "persons": audit.persons,
        "findings": {found.kind: _finding(found) for found in audit.findings},
        "review": [{"image_id": doubt.image_id, "reason": doubt.reason} for doubt in audit.doubts],
        "left_out": list(audit.left_out),
        "seconds": {name: round(value, 2) for name, value in audit.seconds.items()},
    }


def _finding(found: Finding) -> dict[str, Any]:
    return {
        "count": found.count,
        "of": found.total,
        "share": round(found.share, 6),
        "unit": found.unit,
        "said": found.said,
        "rows": [dict(zip(found.columns, map(_cell, row), strict=True)) for row in found.rows],
    }


def _cell(value: Any) -> Any:
    """What was measured in single precision has no more digits than that."""
    return round(value, 6) if isinstance(value, float) else value


def doubts_of(findings: Sequence[Finding]) -> tuple[Doubt, ...]:
    """The images for review: those of suspects, of contradictions and of duplicates with both labels, each once."""
    reasons: dict[str, list[str]] = {}
    for found in findings:
        column = "image_id" if "image_id" in found.columns else "images" if "images" in found.columns else None
        why = _REVIEWED.get(found.kind)
        if column is None or why is None:
            continue
        for row in found.rows:
            cell = row[found.columns.index(column)]
            for image_id in [cell] if isinstance(cell, str) else cell:
                reasons.setdefault(image_id, []).append(why)
    ordered = sorted(reasons.items(), key=lambda pair: -len(pair[1]))  # stable: otherwise as found
    return tuple(Doubt(image_id, "; ".join(dict.fromkeys(texts))) for image_id, texts in ordered)


_REVIEWED = {
    "suspects": "models that have not learned from this label contradict it",
    "contradictions": "other images of the same person have the other label",
    "duplicates_with_other_label": "an equal or almost equal picture has the other label",
}
