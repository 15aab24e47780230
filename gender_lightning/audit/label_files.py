"""Copies of CelebA's label files that do not say the same: official beside Kaggle's, one folder beside another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gender_lightning.audit.findings import Finding
from gender_lightning.audit.labels import text_of
from gender_lightning.config.data import LABEL
from gender_lightning.data.sources.annotations import ATTRIBUTES, IDENTITIES, PARTITION, SUBFOLDERS
from gender_lightning.data.sources.tables import LabelTable, read_table

_DTYPES: dict[str, type[np.integer[Any]]] = {ATTRIBUTES: np.int8, PARTITION: np.int8, IDENTITIES: np.int32}


def disagreeing_files(root: Path) -> Finding | None:
    """Images about which two label files of the same kind say different things, or that only one of them lists.

    Returns:
        None where there is one file of each kind, so that there is nothing to compare.

    Raises:
        UserError: A file is malformed.
    """
    rows: list[tuple[str, str, str]] = []
    several: list[str] = []
    images = 0
    for stem, dtype in _DTYPES.items():
        copies = _copies(root, stem)
        if len(copies) < 2:
            continue
        first, *others = copies
        of_first = _read(first, stem, dtype)
        images = max(images, len(of_first.names))
        for other in others:
            several.append(f"{first.relative_to(root)} and {other.relative_to(root)}")
            rows += _differences(of_first, _read(other, stem, dtype), root)
    if not several:
        return None
    return Finding(
        kind="disagreeing_files",
        part="labels",
        title="Label files that disagree",
        count=len({row[0] for row in rows}),
        total=images,
        unit="images",
        said=f"Compared were {'; '.join(several)}. The first of each pair is what training reads.",
        columns=("image_id", "files", "difference"),
        rows=tuple(rows),
    )


def _copies(root: Path, stem: str) -> list[Path]:
    """All label files of this kind, in the order in which they are looked for."""
    paths = (root / folder / f"{stem}{suffix}" for folder in SUBFOLDERS for suffix in (".txt", ".csv"))
    return [path for path in paths if path.is_file()]


def _read(path: Path, stem: str, dtype: type[np.integer[Any]]) -> LabelTable:
    if stem == ATTRIBUTES:
        return read_table(path, dtype=dtype, required=LABEL)
    return read_table(path, dtype=dtype, width=1)


def _differences(one: LabelTable, two: LabelTable, root: Path) -> list[tuple[str, str, str]]:
    files = f"{one.path.relative_to(root)}, {two.path.relative_to(root)}"
    names, first, second = np.intersect1d(one.names, two.names, return_indices=True)
    rows = [
        (text_of(name), files, f"only in {table.path.name}")
        for table, other in ((one, two), (two, one))
        for name in np.setdiff1d(table.names, other.names).tolist()
    ]
    for column, name in enumerate(one.columns or ("value",)):
        if one.columns and two.columns and name not in two.columns:
            continue
        place = two.columns.index(name) if one.columns and two.columns else 0
        left, right = _meant(one, column)[first], _meant(two, place)[second]
        for at in np.flatnonzero(left != right):
            rows.append((text_of(names[at]), files, f"{name}: {left[at]} and {right[at]}"))
    return rows


def _meant(table: LabelTable, column: int) -> NDArray[np.integer[Any]]:
    """Values of a column; of attributes only the sign counts, since 0 and -1 both mean no."""
    values = table.values[:, column]
    return (values > 0).astype(np.int8) if LABEL in table.columns else values
