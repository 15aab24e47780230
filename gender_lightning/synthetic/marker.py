"""The marker file that says what a folder of synthetic faces holds; reading it does not import the drawing code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from gender_lightning.errors import UserError

VERSION = 1  # of the drawing: raised whenever the same seed gives other faces
MARKER = "synthetic.json"
SPLITS = ("train", "valid", "test")


def describe_set(sizes: Mapping[str, int], seed: int) -> dict[str, dict[str, int] | int]:
    """The content of the marker file for a set.

    Raises:
        UserError: Such a set cannot be drawn.
    """
    unknown = set(sizes) - set(SPLITS)
    if unknown:
        raise UserError(f"There is no split named {sorted(unknown)[0]!r}.", f"Choose among {', '.join(SPLITS)}.")
    counts = {name: int(sizes.get(name, 0)) for name in SPLITS}
    if min(counts.values()) < 0 or sum(counts.values()) == 0:
        raise UserError(f"Synthetic faces of sizes {counts} cannot be drawn.", "Ask for one face or more in all.")
    if seed < 0:
        raise UserError(f"The seed {seed} is negative.", "Choose zero or more.")
    return {"sizes": counts, "seed": int(seed), "version": VERSION}


def is_drawn(root: Path, wanted: Mapping[str, object]) -> bool:
    """Whether `root` holds the wanted set.

    Raises:
        UserError: The folder holds anything else.
    """
    if not root.exists():
        return False
    remedy = "Choose another folder with data.root, or delete this one."
    if not root.is_dir():
        raise UserError(f"{root} is a file, not a folder for synthetic faces.", remedy)
    marker = root / MARKER
    if not marker.is_file():
        if any(root.iterdir()):
            raise UserError(
                f"{root} is not empty, and holds no synthetic faces.",
                "If it holds CelebA, add data=celeba; if it holds pictures of your own, add data=folder. Otherwise "
                "choose another folder with data.root.",
                field="data.root",
            )
        return False
    try:
        found = json.loads(marker.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{marker} is not readable as JSON.", remedy) from error
    if found != wanted:
        raise UserError(f"{root} holds other synthetic faces ({_difference(found, wanted)}).", remedy)
    return True


def _difference(found: object, wanted: Mapping[str, object]) -> str:
    values = found if isinstance(found, dict) else {}
    return "; ".join(
        f"{key} {values.get(key)} there, {value} wanted" for key, value in wanted.items() if values.get(key) != value
    )
