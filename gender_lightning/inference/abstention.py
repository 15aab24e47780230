"""The least confidence at which a label is given: set by the user, or chosen on the checkpoint's own valid split."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gender_lightning.errors import UserError
from gender_lightning.inference.checkpoints import Checkpoints, valid_file
from gender_lightning.models.checkpoint import ModelSpec

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

log = logging.getLogger(__name__)

_FAR_BELOW = 0.15  # of a coverage on valid: what is decided less often than that is of another kind
DEFAULT_TARGET = 0.99  # accuracy of the labels, where the user sets neither an accuracy nor a confidence


def least_confidence(
    checkpoint: Path | Checkpoints,
    spec: ModelSpec,
    min_confidence: float | None = None,
    target_accuracy: float | None = None,
) -> float:
    """The calibrated probability of a label below which it is withheld.

    A target accuracy is met by the same choice that `evaluate` reports: with 95 % probability over the persons of the
    run's valid split, the labels that are given are right that often on pictures of further persons like them.
    If neither number is set, the target is 0.99; and if the run's predictions are missing or cannot support that
    target, every label is given, whatever its probability.

    Args:
        checkpoint: A checkpoint or a run directory, or several that are used as one.
        spec: The specification of that checkpoint, or of the mean.
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


def check_disagreement(most: float | None, checkpoints: Checkpoints) -> None:
    """Refuse a limit to the disagreement that can have no meaning.

    Raises:
        UserError: It is negative, or there is only one checkpoint.
    """
    if most is not None and most < 0:
        raise UserError(
            f"max_disagreement={most} is negative.",
            "Give nats, from 0 to 0.69, such as 0.05.",
            field="max_disagreement",
        )
    if most is not None and checkpoints.is_one:
        raise UserError(
            "max_disagreement is about several checkpoints, and there is only one.",
            "Name others as [A,B,C], or leave it out.",
            field="max_disagreement",
        )


def valid_coverage(checkpoint: Path | Checkpoints, spec: ModelSpec, least: float) -> float | None:
    """The share of the run's valid split that gets a label at a least confidence, in 0..1.

    Returns:
        None if the checkpoint is not inside its run directory, or valid is empty or unreadable.
    """
    predictions = _predictions_of(checkpoint)
    if predictions is None:
        return None
    import pyarrow as pa

    try:
        logits = np.asarray(_columns(predictions, ["logit"])["logit"], dtype=np.float64)
    except (OSError, KeyError, pa.ArrowException):
        return None
    probability = 1 / (1 + np.exp(-logits / spec.temperature))
    confidence = np.where(probability >= spec.threshold, probability, 1 - probability)
    return float((confidence >= least).mean()) if len(confidence) else None


def coverage_text(decided: int, faces: int, on_valid: float | None) -> str:
    """A sentence on how many faces got a label, beside the run's valid split; another one where that is far more.

    Args:
        decided: Number of faces that have a label.
        faces: Number of faces in all, at least 1.
        on_valid: See `valid_coverage`.
    """
    share = decided / faces
    text = f"{share:.0%} of the faces are decided"
    if on_valid is None:
        return f"{text}, the others are uncertain."
    text += f"; of the run's valid split it was {on_valid:.0%}."
    spread = 2 * np.sqrt(on_valid * (1 - on_valid) / faces)
    if share < on_valid - max(_FAR_BELOW, spread):
        text += " These pictures differ from those of the training: more of the labels may be wrong than there."
    return text


def _predictions_of(checkpoint: Path | Checkpoints) -> Path | pd.DataFrame | None:
    """The predictions on valid: the file of the run that the checkpoint is in, or the table of a mean."""
    checkpoints = Checkpoints.of(checkpoint)
    return valid_file(checkpoints.given[0]) if checkpoints.is_one else checkpoints.valid_predictions()


def _columns(predictions: Path | pd.DataFrame, names: list[str], *further: str) -> pa.Table:
    """Columns of the predictions, and those of the further ones that they have."""
    import pyarrow as pa
    import pyarrow.parquet as pq  # not pandas, which takes longer to load than the network

    if isinstance(predictions, Path):
        there = pq.read_schema(predictions).names
        return pq.read_table(predictions, columns=[*names, *(name for name in further if name in there)])
    return pa.Table.from_pandas(predictions[[*names, *(name for name in further if name in predictions)]])


def _chosen(predictions: Path | pd.DataFrame, spec: ModelSpec, target: float) -> float | None:
    import pyarrow as pa

    from gender_lightning.evaluation.selective import choose_abstention

    try:
        table = _columns(predictions, ["label", "logit"], "identity")
        labels, logits = (np.asarray(table[name]) for name in ("label", "logit"))
    except (OSError, KeyError, pa.ArrowException) as error:
        raise UserError(
            f"{predictions} is not a table of predictions ({error}).", "Restore it, or give min_confidence=..."
        ) from error
    if not len(labels):
        return None
    clusters = _clusters(table["identity"].to_numpy()) if "identity" in table.column_names else None
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
