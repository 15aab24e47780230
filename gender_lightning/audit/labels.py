"""What the label files alone show: contradictions, persons across splits, cells of label and attribute."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gender_lightning.audit.findings import Finding
from gender_lightning.data.rows.contradictions import contradicted, fewest_wrong
from gender_lightning.data.sources.annotations import CLASS_NAMES, SPLITS, Index
from gender_lightning.evaluation.statistics.proportions import FEWEST_PERSONS, wilson

_TRAIN, _, _TEST = range(3)
_RIGHT = 0.95  # accuracy at which the width of an interval is given


def text_of(image_id: bytes) -> str:
    """An id as text."""
    return image_id.decode(errors="replace")


def contradictions(index: Index) -> Finding | None:
    """Images that contradict the other labels of the same person; None where identities are not known."""
    if index.identities is None:
        return None
    images, persons = fewest_wrong(index.labels, index.identities)
    rows = np.flatnonzero(contradicted(index.labels, index.identities))
    males = _per_person(index, index.labels.astype(np.float64))
    of_person = _per_person(index, np.ones(len(index)))
    surest = rows[np.lexsort((rows, -of_person[rows]))]
    return Finding(
        kind="contradictions",
        part="labels",
        title="Labels that contradict each other within a person",
        count=images,
        total=len(index),
        unit="images",
        said=f"{persons:,} persons have images of both labels. At least {images:,} images are wrong: in their label, "
        "or in the person that they are said to show; the label files cannot tell which. Where the labels of a person "
        "are a draw, all of these images are listed.",
        columns=("image_id", "split", "label", "person", "images_female", "images_male"),
        rows=tuple(
            (
                text_of(index.image_ids[row]), SPLITS[index.partition[row]], CLASS_NAMES[index.labels[row]],
                str(index.identities[row]), int(of_person[row] - males[row]), int(males[row]),
            )
            for row in surest
        ),
    )  # fmt: skip


def persons_across_splits(index: Index) -> Finding | None:
    """Persons with images in several splits; None where identities are not known."""
    if index.identities is None:
        return None
    persons, number = np.unique(index.identities, return_inverse=True)
    counts = np.stack([np.bincount(number[index.split(split)], minlength=len(persons)) for split in SPLITS], axis=1)
    crossing = np.flatnonzero((counts > 0).sum(axis=1) > 1)
    return Finding(
        kind="persons_across_splits",
        part="labels",
        title="Persons in several splits",
        count=len(crossing),
        total=len(persons),
        unit="persons",
        said="A model that has memorised a face is tested on it again: results on valid and test flatter it."
        if len(crossing)
        else "No person is in more than one split, as far as the identities are right.",
        columns=("person", *SPLITS),
        rows=tuple((str(persons[at]), *map(int, counts[at])) for at in crossing[np.argsort(-counts[crossing].sum(1))]),
    )


def cells(index: Index, smallest: int) -> list[Finding]:
    """Cells of label x attribute that are too small to learn from, or to judge on; none without attributes.

    Args:
        index: All splits.
        smallest: Images of train below which a cell is listed.
    """
    table = _cells(index)
    if not table:
        return []
    few = sorted((row for row in table if 0 <= row["train"] < smallest), key=lambda row: row["train"])
    thin = sorted((row for row in table if row["persons_test"] < FEWEST_PERSONS), key=lambda row: row["persons_test"])
    who = "people" if index.identities is not None else "images"
    found = []
    if len(index.split("train")):
        found.append(
            Finding(
                "small_to_learn", "imbalance", "Cells that are small to learn from", len(few), len(table), "cells",
                f"A cell is one label together with one value of an attribute. These have fewer than {smallest:,} "
                "images in train. Only an evaluation by group can say whether a model does worse on them.",
                ("cell", "label", "train", "valid", "test"),
                tuple((row["cell"], row["label"], row["train"], row["valid"], row["test"]) for row in few),
            )
        )  # fmt: skip
    if len(index.split("test")):
        found.append(
            Finding(
                "small_to_judge", "imbalance", "Cells that are small to judge on", len(thin), len(table), "cells",
                f"These have fewer than {FEWEST_PERSONS} {who} in test: no interval can be given for them. The width "
                f"is that of the 95 % interval at an accuracy of {_RIGHT:.0%} if all images were independent.",
                ("cell", "label", "test", f"{who}_in_test", "width"),
                tuple((row["cell"], row["label"], row["test"], row["persons_test"], row["width"]) for row in thin),
            )
        )  # fmt: skip
    return found


def _cells(index: Index) -> list[dict[str, Any]]:
    rows = []
    test = index.split("test")
    for column, name in enumerate(index.attribute_names):
        values = index.attributes[:, column]
        for value in (True, False):
            for label, shown in enumerate(CLASS_NAMES):
                members = (values == value) & (index.labels == label)
                counts = np.bincount(index.partition[members], minlength=3)
                own = test[members[test]]
                persons = len(own) if index.identities is None else len(np.unique(index.identities[own]))
                rows.append(
                    {
                        "cell": f"{name}={int(value)}", "label": shown, "train": int(counts[_TRAIN]),
                        "valid": int(counts[1]), "test": int(counts[_TEST]), "persons_test": persons,
                        "width": _width(int(counts[_TEST])),
                    }
                )  # fmt: skip
    return rows


def _width(images: int) -> str:
    if not images:
        return "-"
    low, high = wilson(_RIGHT * images, images)
    return f"{100 * (high - low):.0f} points"


def _per_person(index: Index, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sum of the values over the images of the same person, for each image."""
    assert index.identities is not None
    _, number = np.unique(index.identities, return_inverse=True)
    sums: NDArray[np.float64] = np.bincount(number, values, minlength=1)[number].astype(np.float64)
    return sums
