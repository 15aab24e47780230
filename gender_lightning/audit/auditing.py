"""From the material to all findings, in the order of the page."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gender_lightning.audit.alike import ALIKE, alike_finding, alike_pairs, whitened
from gender_lightning.audit.duplicates import duplicate_findings
from gender_lightning.audit.findings import Audit, Finding, doubts_of
from gender_lightning.audit.label_files import disagreeing_files
from gender_lightning.audit.labels import cells, contradictions, persons_across_splits
from gender_lightning.audit.pictures import picture_findings
from gender_lightning.audit.reading import AuditData
from gender_lightning.audit.suspects import suspects
from gender_lightning.data.kinds import KINDS, root_of
from gender_lightning.data.sources.annotations import SPLITS


class Auditing:
    """Collects the findings of one audit step by step, and how long each step took.

    Args:
        material: The data set.
        section: Its data section.
    """

    def __init__(self, material: AuditData, section: Any) -> None:
        self.material = material
        self.section = section
        self.findings: list[Finding] = []
        self.left_out: list[str] = []
        self.seconds: dict[str, float] = {}

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Add the duration of a step."""
        start = time.monotonic()
        yield
        self.seconds[step] = self.seconds.get(step, 0.0) + time.monotonic() - start

    def look_at_labels(self, smallest_cell: int) -> None:
        """Add what the label files show."""
        index, in_folders = self.material.index, self.section.name == "folder"
        with self.timed("labels"):
            found = [self.material.without_picture]
            if not in_folders:  # where each class and split has its own persons, so that none could be found
                found = [contradictions(index), persons_across_splits(index), *found]
            if KINDS[self.section.name].labels is not None:
                found.append(disagreeing_files(root_of(self.section)))
            self.findings += [one for one in found if one is not None]
            self.findings += cells(index, smallest_cell)
        if in_folders and index.identities is not None:
            self.left_out.append(
                "A person is a folder below a class: one with several labels or in several splits could not be seen."
            )
        if index.identities is None:
            self.left_out.append(
                "The persons are unknown: contradictions within a person and persons in several splits could not be "
                "looked for."
            )
        if not index.attribute_names:
            self.left_out.append("There are no attributes: cells of label and attribute could not be counted.")

    def look_at_pictures(self, records: NDArray[np.void]) -> None:
        """Add what the measurements of the pictures show."""
        assert self.material.store is not None
        with self.timed("pictures"):
            self.findings += picture_findings(self.material.index, self.material.store, records)
        with self.timed("duplicates"):
            self.findings += duplicate_findings(self.material.index, records)

    def look_at_features(
        self, features: NDArray[np.float16], rows: NDArray[np.intp], hashed: NDArray[np.int64]
    ) -> None:
        """Add the pairs of pictures that a network sees alike.

        Args:
            features: Shape (P, C).
            rows: Shape (P,), the rows of the index that they are of.
            hashed: Shape (Q, 2), rows that hashes have found to be copies of each other.
        """
        pairs, cosines = alike_pairs(whitened(features), ALIKE)
        self.findings.append(alike_finding(self.material.index, rows[pairs], cosines, hashed, len(rows)))

    def look_at_probabilities(self, probability: NDArray[np.float64], judges: str) -> None:
        """Add the labels that models which have not seen the images contradict; arguments as for `suspects`."""
        self.findings.append(suspects(self.material.index, probability, judges))

    def result(self) -> Audit:
        """All findings."""
        index = self.material.index
        return Audit(
            data=self.section.model_dump(),
            images=len(index),
            males=int(index.labels.sum()),
            splits={split: len(index.split(split)) for split in SPLITS},
            persons=None if index.identities is None else len(np.unique(index.identities)),
            findings=tuple(self.findings),
            doubts=doubts_of(self.findings),
            left_out=tuple(self.left_out),
            seconds=self.seconds,
        )
