"""The data set as an audit sees it: all label rows, and pictures where there are any."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gender_lightning.audit.findings import Finding
from gender_lightning.audit.labels import text_of
from gender_lightning.data.kinds import KINDS, root_of
from gender_lightning.data.reading import open_data
from gender_lightning.data.sources.annotations import CLASS_NAMES, SPLITS, Index
from gender_lightning.data.sources.images import ImageStore, find_celeba_images

if TYPE_CHECKING:
    from gender_lightning.config.data import DataConfig


@dataclass(frozen=True)
class AuditData:
    """What is audited.

    Attributes:
        index: Rows of the label files; the same ones as in training, or all where there are no pictures.
        store: The pictures; None where there are none, so that only labels can be audited.
        without_picture: Rows of the label files that have no picture; None where that is not asked.
    """

    index: Index
    store: ImageStore | None
    without_picture: Finding | None = None


def open_material(config: DataConfig) -> AuditData:
    """Read the labels, and open the pictures if they are there.

    Raises:
        UserError: Data are missing or malformed.
    """
    config = config.model_copy(update={"drop_contradictions": False})  # they are what is looked for
    labels = KINDS[config.name].labels
    if labels is None:
        return AuditData(*open_data(config))
    index = labels(config)
    if find_celeba_images(root_of(config)) is None:
        return AuditData(index, None)
    used, store = open_data(config)
    return AuditData(used, store, _without_picture(index, store))


def _without_picture(index: Index, store: ImageStore) -> Finding:
    missing = np.flatnonzero(~store.exists(index.image_ids))
    return Finding(
        kind="rows_without_picture",
        part="labels",
        title="Rows without a picture",
        count=len(missing),
        total=len(index),
        unit="rows",
        said="Training leaves them out." if len(missing) else "Every row of the label files has its picture.",
        columns=("image_id", "split", "label"),
        rows=tuple(
            (text_of(index.image_ids[row]), SPLITS[index.partition[row]], CLASS_NAMES[index.labels[row]])
            for row in missing
        ),
    )
