"""From which confidence on a label is given: named by the user, or from the checkpoint's own valid split."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gender_lightning.errors import UserError
from gender_lightning.evaluation.metrics import sigmoid
from gender_lightning.models.checkpoint import ModelSpec


def least_confidence(
    checkpoint: Path, spec: ModelSpec, min_confidence: float | None, target_accuracy: float | None
) -> float:
    """Calibrated probability of the label below which it is not given.

    Args:
        checkpoint: A checkpoint, or a run directory; of a target, the run's predictions are read.
        spec: The checkpoint's.
        min_confidence: Returned where given.
        target_accuracy: Wanted of the labels that are given, on valid.

    Raises:
        UserError: Both are given, one is out of range, the run's predictions are missing, or the target is not
            reached on valid however few labels are given.
    """
    if min_confidence is not None and target_accuracy is not None:
        raise UserError("min_confidence and target_accuracy exclude each other. Give one of them.")
    for name, value in (("min_confidence", min_confidence), ("target_accuracy", target_accuracy)):
        if value is not None and not 0 <= value <= 1:
            raise UserError(f"{name}={value}: it is a share. Give a number between 0 and 1.")
    if target_accuracy is None:
        return min_confidence or 0.0
    return _confidence_for(_predictions_of(checkpoint), spec, target_accuracy)


def _predictions_of(checkpoint: Path) -> Path:
    """The run's predictions of valid, beside its checkpoints."""
    folders = [checkpoint] if checkpoint.is_dir() else list(checkpoint.absolute().parents[:2])
    for folder in folders:
        file = folder / "predictions" / "valid.parquet"
        if file.is_file():
            return file
    raise UserError(
        f"{checkpoint} lies in no run directory with predictions/valid.parquet, from which target_accuracy takes its "
        "confidence. Give the run directory, or min_confidence=..."
    )


def _confidence_for(file: Path, spec: ModelSpec, target: float) -> float:
    """The least confidence whose labels are right in at least `target` of the cases."""
    from gender_lightning.evaluation.predictions import read_predictions

    table = read_predictions(file)
    probability = sigmoid(table["logit"].to_numpy(np.float64) / spec.temperature)
    male = probability >= spec.threshold
    confidence = np.where(male, probability, 1 - probability)
    right = male == (table["label"].to_numpy() == 1)
    order = np.argsort(-confidence, kind="stable")
    accuracy = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    last_of_its_value = np.append(np.diff(confidence[order]) != 0, True)
    enough = np.flatnonzero((accuracy >= target) & last_of_its_value)
    if not len(enough):
        best = float(accuracy[last_of_its_value].max())
        raise UserError(
            f"target_accuracy={target} is not reached on the run's valid split, however few labels are given (the "
            f"most confident reach {best:.4f}). Give a lower one."
        )
    return float(confidence[order][enough[-1]])
