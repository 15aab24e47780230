"""`audit.html`: what is doubtful in a data set, on one self-contained page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any, get_args

from gender_lightning.audit.findings import KINDS, Audit, Finding, Part
from gender_lightning.reports.page import percent, render, without_folders

_TITLES: dict[Part, str] = {
    "labels": "Labels",
    "suspects": "Suspect labels",
    "duplicates": "Duplicates",
    "pictures": "Pictures",
    "imbalance": "Imbalance",
}
_ROWS = 100  # of a table on the page
_TILES = 12  # pictures, or pairs of them, of a finding
_PAIR = 2  # pictures of a group that are shown
_NAMES = 10  # of a group that are named
_SHOWN_AS_PICTURES = ("contradictions", "suspects", "tiny", "grey", "dark", "blurred", "no_face", "several_faces",
                      "duplicates_with_other_label", "duplicates_across_splits", "near_duplicates",
                      "alike")  # fmt: skip
Face = Callable[[str], str | None]


def audit_page(audit: Audit, crossed: Sequence[str], command: str, face: Face | None) -> str:
    """Render the page as HTML text that loads nothing from the network.

    Args:
        audit: What was found.
        crossed: Sentences on the limits of `fail_on` that are crossed.
        command: The command line.
        face: The picture of an id as a ``data:`` URI, None where it does not decode; None leaves pictures out.
    """
    females = audit.images - audit.males
    persons = "persons unknown" if audit.persons is None else f"{audit.persons:,} persons"
    sections = [_section(part, [found for found in audit.findings if found.part == part], face) for part in _TITLES]
    assert set(_TITLES) == set(get_args(Part))
    splits = ", ".join(f"{split} {count:,}" for split, count in audit.splits.items())
    page = render(
        "audit.html.j2",
        {
            "title": f"Audit of {audit.data['name']}",
            "lead": f"{audit.images:,} images ({audit.males:,} male, {females:,} female; {splits}), {persons}, in "
            f"{audit.data['root']}",
            "verdict": [*crossed, *headlines(audit)],
            "limits": [*audit.left_out, *_LIMITS],
            "overview": [_line(found) for found in audit.findings],
            "sections": [section for section in sections if section["findings"] or section["not_found"]],
            "command": without_folders(command),
            "seconds": "; ".join(f"{step} {seconds:.1f} s" for step, seconds in audit.seconds.items()),
        },
    )
    root = Path(str(audit.data["root"]))  # a page may be passed on, so it names no folders above
    return page.replace(escape(str(root)), escape(f".../{root.name}")) if root.name else page


_LIMITS = (
    "A finding is a reason to look, not a verdict: only people can say which labels are wrong, and of how many "
    "(gender-lightning data review).",
    "The label is perceived gender in two classes, as annotators saw it. A face on which people disagree has no right "
    "label, and leaving such faces out makes a data set easier, not better.",
)


def headlines(audit: Audit) -> list[str]:
    """The findings that were looked for and are there, in a sentence each; the gravest first."""
    told = []
    for kind in ("duplicates_across_splits", "persons_across_splits", "contradictions", "duplicates_with_other_label",
                 "suspects", "unreadable", "disagreeing_files"):  # fmt: skip
        found = audit.finding(kind)
        if found is not None and found.count:
            what = KINDS[kind]
            told.append(f"{found.count:,} of {found.total:,} {found.unit} ({percent(found.share, 2)}): {what}.")
    return told or ["None of the graver findings that were looked for is there."]


def _section(part: Part, findings: Sequence[Finding], face: Face | None) -> dict[str, Any]:
    return {
        "name": part,
        "title": _TITLES[part],
        "findings": [_shown(found, face) for found in findings if found.count],
        "not_found": "; ".join(KINDS[found.kind] for found in findings if not found.count),
    }


def _line(found: Finding) -> list[Any]:
    return [
        {"show": found.title, "text": True},
        {"show": f"{found.count:,}", "value": found.count},
        {"show": f"{found.total:,} {found.unit}", "text": True},
        {"show": percent(found.share, 2), "value": found.share},
    ]


def _shown(found: Finding, face: Face | None) -> dict[str, Any]:
    more = f"The first {_ROWS} of {len(found.rows):,}; audit.json has all." if len(found.rows) > _ROWS else ""
    return {
        "kind": found.kind,
        "title": f"{found.title}: {found.count:,}",
        "said": found.said,
        "more": more,
        "head": [{"name": name.replace("_", " "), "text": True} for name in found.columns],
        "rows": [[_cell(cell) for cell in row] for row in found.rows[:_ROWS]],
        "tiles": [] if face is None or found.kind not in _SHOWN_AS_PICTURES else _tiles(found, face),
    }


def _cell(cell: Any) -> dict[str, Any]:
    if isinstance(cell, int | float):
        return {"show": f"{cell:,}" if isinstance(cell, int) else f"{cell:.4g}", "value": cell, "text": True}
    if isinstance(cell, str):
        return {"show": cell, "text": True}
    more = f" and {len(cell) - _NAMES:,} more" if len(cell) > _NAMES else ""
    return {"show": " ".join(cell[:_NAMES]) + more, "text": True}


def _tiles(found: Finding, face: Face) -> list[dict[str, Any]]:
    tiles = []
    for row in found.rows[:_TILES]:
        cells = dict(zip(found.columns, row, strict=True))
        ids = [cells["image_id"]] if "image_id" in cells else list(cells["images"][:_PAIR])
        faces = [uri for image_id in ids if (uri := face(image_id)) is not None]
        if faces:
            said = (
                f"{cells['label']}, {cells['split']}" if "label" in cells else f"{cells['labels']}; {cells['splits']}"
            )
            tiles.append({"faces": faces, "said": said, "id": " ".join(ids)})
    return tiles
