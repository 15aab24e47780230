"""Suspect labels from the probabilities of models that have not learned from them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gender_lightning.audit.findings import Finding
from gender_lightning.audit.labels import text_of
from gender_lightning.data.sources.annotations import CLASS_NAMES, SPLITS, Index
from gender_lightning.evaluation.suspects import suspect_rows


def suspects(index: Index, probability: NDArray[np.float64], judges: str) -> Finding:
    """Labels that out-of-sample models confidently contradict.

    Args:
        index: All images.
        probability: (N,), of male, by a model that has not learned from the image; nan where there is none.
        judges: Who has judged them, as a sentence.
    """
    judged = np.flatnonzero(np.isfinite(probability))
    found = judged[suspect_rows(index.labels[judged], probability[judged])]
    of_label = np.where(index.labels == 1, probability, 1 - probability)
    right = float((of_label[judged] > 0.5).mean()) if len(judged) else 0.0
    return Finding(
        kind="suspects",
        part="suspects",
        title="Suspect labels",
        count=len(found),
        total=len(judged),
        unit="images",
        said=f"{judges} They agree with {100 * right:.1f} % of {len(judged):,} labels; by confident learning "
        "(Northcutt et al. 2021) these are the disagreements that are more than a hard image. Hard and unusual "
        "faces are among them: how many labels are wrong only people can say (gender-lightning data review).",
        columns=("image_id", "split", "label", "probability_of_label"),
        rows=tuple(
            (
                text_of(index.image_ids[row]), SPLITS[index.partition[row]], CLASS_NAMES[index.labels[row]],
                round(float(of_label[row]), 4),
            )
            for row in found
        ),
    )  # fmt: skip
