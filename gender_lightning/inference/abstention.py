"""The least confidence at which a label is given: set by the user, or chosen on the checkpoint's own valid split."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gender_lightning.errors import UserError
from gender_lightning.models.checkpoint import ModelSpec

log = logging.getLogger(__name__)

DEFAULT_TARGET = 0.99  # accuracy of the labels, where the user sets neither an accuracy nor a confidence


def least_confidence(
    checkpoint: Path, spec: ModelSpec, min_confidence: float | None = None, target_accuracy: float | None = None
) -> float:
    """The calibrated probability of a label below which it is withheld.

    A target accuracy is met by the same choice that `evaluate` reports: with 95 % probability over the persons of the
    run's valid split, the labels that are given are right that often on pictures of further persons like them.
    If neither number is set, the target is 0.99; and if the run's predictions are missing or cannot support that
    target, every label is given, whatever its probability.

    Args:
        checkpoint: A checkpoint, or a run directory.
        spec: The specification of that checkpoint.
        min_confidence: Returned unchanged if it is set; 0 gives every label.
        target_accuracy: Accuracy that the given labels should have, above 0 and below 1.

    Raises:
        UserError: Both numbers are set, one is out of range, or the requested target cannot be met, or there are no
            predictions to choose on.
    """
    if min_confidence is not None and target_accuracy is not None:
        raise UserError("min_confidence and target_accuracy exclude each other.", "Give one of them.")
    if min_confidence is not None:
        if not 0 <= min_confidence <= 1:
            raise UserError(
                f"min_confidence={min_confidence} is not a probability.",
                "Give a number from 0 to 1.",
                field="min_confidence",
            )
        return min_confidence
    if target_accuracy is not None and not 0 < target_accuracy < 1:
        raise UserError(
            f"target_accuracy={target_accuracy} is out of range.",
            "Give a number above 0 and below 1, such as 0.99.",
            field="target_accuracy",
        )
    predictions = _predictions_of(checkpoint)
    if predictions is None:
        if target_accuracy is None:
            return 0.0
        raise UserError(
            f"{checkpoint} is not inside a run directory with predictions/valid.parquet, which target_accuracy needs.",
            "Give the run directory, or min_confidence=...",
            field="target_accuracy",
        )
    chosen = _chosen(predictions, spec, target_accuracy or DEFAULT_TARGET)
    if chosen is None and target_accuracy is not None:
        raise UserError(
            f"target_accuracy={target_accuracy} cannot be guaranteed: the run's valid split has too few images, or too "
            "many of them are misclassified.",
            "Give a lower accuracy, or min_confidence=...",
            field="target_accuracy",
        )
    if chosen is None:
        log.info("The run's valid split cannot guarantee an accuracy of %s: no label is withheld.", DEFAULT_TARGET)
    return chosen or 0.0


def _predictions_of(checkpoint: Path) -> Path | None:
    """The run's predictions on valid, if the checkpoint is inside its run directory."""
    folders = [checkpoint] if checkpoint.is_dir() else list(checkpoint.absolute().parents[:2])
    files = (folder / "predictions" / "valid.parquet" for folder in folders)
    return next((file for file in files if file.is_file()), None)


def _chosen(file: Path, spec: ModelSpec, target: float) -> float | None:
    import pyarrow as pa
    import pyarrow.parquet as pq  # not pandas, which takes longer to load than the network

    from gender_lightning.evaluation.selective import choose_abstention

    try:
        known = [name for name in ("identity",) if name in pq.read_schema(file).names]
        table = pq.read_table(file, columns=["label", "logit", *known])
        labels, logits = (np.asarray(table[name]) for name in ("label", "logit"))
    except (OSError, KeyError, pa.ArrowException) as error:
        raise UserError(
            f"{file} is not a table of predictions ({error}).", "Restore it, or give min_confidence=..."
        ) from error
    if not len(labels):
        return None
    clusters = _clusters(table["identity"].to_numpy()) if known else None
    chosen = choose_abstention(labels, logits, spec.temperature, target, clusters=clusters, threshold=spec.threshold)
    return chosen.min_confidence


def _clusters(identities: NDArray[Any]) -> NDArray[np.int64]:
    """The same as `intervals.clusters_of`, without pandas: codes from 0; an unknown identity (nan) stands alone."""
    values = identities.astype(np.float64)
    known = ~np.isnan(values)
    codes = np.arange(len(values), dtype=np.int64)
    if known.any():
        _, first, place = np.unique(values[known], return_index=True, return_inverse=True)
        codes[known] = np.flatnonzero(known)[first][place]
    return np.unique(codes, return_inverse=True)[1].astype(np.int64)
