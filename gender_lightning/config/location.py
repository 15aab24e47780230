"""The place of `conf/`, and the choices in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def conf_dir() -> Path:
    """The folder `conf/`, which is packed into the wheel, or is beside the package in a source tree."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def choices_in(places: Sequence[Path]) -> dict[str, list[str]]:
    """Every group with its choices, from all these folders.

    Files whose names begin with an underscore are parts of other files, not choices.
    """
    menu: dict[str, set[str]] = {}
    for place in places:
        for file in place.rglob("*.yaml"):
            group = file.parent.relative_to(place).as_posix()
            if group != "." and not file.name.startswith("_"):
                menu.setdefault(group, set()).add(file.stem)
    return {group: sorted(menu[group]) for group in sorted(menu)}
