"""Groups of images: the cells of label x attributes, of which the small ones are pooled."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gender_lightning.data.sources.annotations import CLASS_NAMES, Index
from gender_lightning.errors import UserError

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Groups:
    """A division of images into groups, each within one class.

    Attributes:
        attributes: The attributes whose combinations divide each class; empty: the groups are the classes.
        names: Names of the G groups, such as `female without Wearing_Lipstick`.
        labels: Label of each group.
        counts: Training images of each group, all above 0.
        of_cell: Group of each cell; the number of a cell is its label and its attributes as binary digits.
        pooled: Cells that were too small, with their training images.
    """

    attributes: tuple[str, ...]
    names: tuple[str, ...]
    labels: tuple[int, ...]
    counts: tuple[int, ...]
    of_cell: tuple[int, ...]
    pooled: tuple[tuple[str, int], ...] = ()

    def of(self, index: Index) -> Numbers:
        """Group of each row of an index, int64 (N,).

        Raises:
            UserError: The data lack an attribute.
        """
        return np.asarray(self.of_cell, dtype=np.int64)[cells_of(index, self.attributes)]

    def describe(self, minimum: int) -> str:
        """Describe the groups, and which cells were pooled, in one line for the log."""
        parts = [f"{name} {count:,}" for name, count in zip(self.names, self.counts, strict=True)]
        said = f"Groups of training images: {', '.join(parts)}."
        if self.pooled:
            small = ", ".join(f"{name} ({count:,})" for name, count in self.pooled)
            said += f" Pooled with the rest of their class, as they have fewer than {minimum:,}: {small}."
        return said


def make_groups(train: Index, attributes: Sequence[str], minimum: int) -> Groups:
    """Divide images by their label and attributes.

    Cells with fewer than `minimum` training images are pooled within their class; if they are too few even together,
    they join the largest cell of their class. The groups therefore depend on the training images alone, and every image
    of any split belongs to one.

    Args:
        train: The training images; both classes occur.
        attributes: Names of attributes; empty: the groups are the two classes.
        minimum: Fewest training images of a group.

    Raises:
        UserError: The data lack an attribute.
    """
    counts = np.bincount(cells_of(train, attributes), minlength=2 << len(attributes))
    of_cell = np.zeros(len(counts), dtype=np.int64)
    names: list[str] = []
    labels: list[int] = []
    pooled: list[tuple[str, int]] = []
    half = len(counts) // 2
    for label, word in enumerate(CLASS_NAMES):
        cells = range(label * half, (label + 1) * half)
        parts = _parts(cells, counts, minimum)
        there = [cell for cell in cells if counts[cell]]
        if len(there) > 1:
            pooled += [(_name(cell, attributes), int(counts[cell])) for cell in there if counts[cell] < minimum]
        for part in parts:
            of_cell[part] = len(names)
            filled = [cell for cell in part if counts[cell]]
            single = len(parts) > 1 and len(filled) == 1
            names.append(_name(filled[0], attributes) if single else word if len(parts) == 1 else f"{word} rest")
            labels.append(label)
    sizes = np.bincount(of_cell, counts, minlength=len(names)).astype(np.int64)
    return Groups(
        tuple(attributes), tuple(names), tuple(labels), tuple(sizes.tolist()), tuple(of_cell.tolist()), tuple(pooled)
    )


def cells_of(index: Index, attributes: Sequence[str]) -> Numbers:
    """Number of each row's cell, int64 (N,), whose highest binary digit is the label.

    Raises:
        UserError: The data lack an attribute.
    """
    check_attributes(index, attributes, "data.groups", "data.groups=[] data.sampler=shuffled")
    cells = index.labels.astype(np.int64)
    for name in attributes:
        cells = 2 * cells + index.attributes[:, index.attribute_names.index(name)]
    return cells


def check_attributes(index: Index, names: Sequence[str], field: str, without: str) -> None:
    """Refuse attributes that the data lack.

    Args:
        index: Any rows of the data.
        names: The attributes.
        field: The configuration field that names them.
        without: What to write to do without attributes.

    Raises:
        UserError: The data have no attributes, or not these.
    """
    missing = [name for name in names if name not in index.attribute_names]
    if not missing:
        return
    if not index.attribute_names:
        raise no_attributes(field, without)
    close = difflib.get_close_matches(missing[0], index.attribute_names, n=2)
    hint = f"Did you mean {' or '.join(close)}?" if close else f"Choose from {', '.join(index.attribute_names)}."
    raise UserError(f"{field}: the data have no attribute {missing[0]}.", hint, field=field)


def no_attributes(field: str, without: str) -> UserError:
    """The error for a field that needs attributes if the data have none; `without` is what to write to do without."""
    return UserError(
        f"{field}: the data have no attributes.",
        f"Name a CSV file of attributes, data.attributes=FILE, or do without them: {without}.",
        field=field,
    )


def _parts(cells: Sequence[int], counts: Numbers, minimum: int) -> list[list[int]]:
    """Divide the cells of a class into groups."""
    large = [cell for cell in cells if counts[cell] >= minimum]
    small = [cell for cell in cells if counts[cell] < minimum]
    if not large:
        return [small]
    if sum(counts[cell] for cell in small) >= minimum:
        return [*([cell] for cell in large), small]
    largest = max(large, key=lambda cell: int(counts[cell]))
    return [[cell, *small] if cell == largest else [cell] for cell in large]


def _name(cell: int, attributes: Sequence[str]) -> str:
    """Name of a cell, such as `male with Eyeglasses without Bangs`."""
    digits = [(cell >> place) & 1 for place in reversed(range(len(attributes) + 1))]
    words = (f"{'with' if digit else 'without'} {name}" for digit, name in zip(digits[1:], attributes, strict=True))
    return " ".join([CLASS_NAMES[digits[0]], *words])
