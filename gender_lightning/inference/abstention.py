"""The least confidence at which a label is given: set by the user, or chosen on the checkpoint's own valid split."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gender_lightning.errors import UserError
from gender_lightning.evaluation.knee import find_knee
from gender_lightning.evaluation.metrics import probabilities
from gender_lightning.evaluation.selective import choose_abstention, select
from gender_lightning.inference.checkpoints import CheckpointSet, valid_file
from gender_lightning.inference.domain import Domain, FaceTotals
from gender_lightning.models.checkpoints.checkpoint import ModelSpec

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

log = logging.getLogger(__name__)

_FAR_BELOW = 0.15  # of a coverage on valid: what is decided less often than that is of another kind
DEFAULT_TARGET = 0.99  # accuracy of the labels, where the user sets neither an accuracy nor a confidence


class OnValid(NamedTuple):
    """What a least confidence does on the run's valid split.

    Attributes:
        coverage: Share of the images that are decided, in 0..1.
        accuracy: Their accuracy; nan if it is not known.
    """

    coverage: float
    accuracy: float


def least_confidence(
    checkpoint: Path | CheckpointSet,
    spec: ModelSpec,
    min_confidence: float | Literal["auto"] | None = None,
    target_accuracy: float | None = None,
) -> float:
    """The calibrated probability of a label below which it is withheld.

    A target accuracy is met by the same choice that `evaluate` reports: with 95 % probability over the persons of the
    run's valid split, the labels that are given are right that often on pictures of further persons like them.
    If neither is set, the target is 0.99; and if valid cannot support that target, or is not known, every label is
    given, whatever its probability. Valid is known from the run's predictions, or else from what the checkpoint
    remembers of it.

    Args:
        checkpoint: A checkpoint or a run directory, or several that are used as one.
        spec: The specification of that checkpoint, or of the mean.
        min_confidence: A number is returned unchanged; 0 gives every label. ``auto`` is the knee of the risk-coverage
            curve of valid, see `evaluation.knee`.
        target_accuracy: Accuracy that the given labels should have, above 0 and below 1.

    Raises:
        UserError: Both numbers are set, one is out of range, or the requested target cannot be met, or there are no
            predictions to choose on.
    """
    if min_confidence is not None and target_accuracy is not None:
        raise UserError("min_confidence and target_accuracy exclude each other.", "Give one of them.")
    if min_confidence == "auto":
        return _knee(checkpoint, spec)
    if min_confidence is not None:
        if isinstance(min_confidence, str) or not 0 <= min_confidence <= 1:
            raise UserError(
                f"min_confidence={min_confidence} is not a probability.",
                "Give a number from 0 to 1, or auto.",
                field="min_confidence",
            )
        return min_confidence
    if target_accuracy is not None and not 0 < target_accuracy < 1:
        raise UserError(
            f"target_accuracy={target_accuracy} is out of range.",
            "Give a number above 0 and below 1, such as 0.99.",
            field="target_accuracy",
        )
    return _for_target(checkpoint, spec, target_accuracy)


def _for_target(checkpoint: Path | CheckpointSet, spec: ModelSpec, target: float | None) -> float:
    """The confidence that reaches a target accuracy; 0 where none was requested and the default one is out of reach."""
    predictions = _predictions_of(checkpoint)
    if predictions is None:
        domain = CheckpointSet.of(checkpoint).domain
        cut = domain.cuts.get(target or DEFAULT_TARGET) if domain else None
        if target is None or cut is not None:
            return cut[0] if cut else 0.0
        raise _unknown(checkpoint, "target_accuracy")
    chosen = _chosen(predictions, spec, target or DEFAULT_TARGET)
    if chosen is None and target is not None:
        raise UserError(
            f"target_accuracy={target} cannot be guaranteed: the run's valid split has too few images, or too "
            "many of them are misclassified.",
            "Give a lower accuracy, or min_confidence=...",
            field="target_accuracy",
        )
    if chosen is None:
        log.info("The run's valid split cannot guarantee an accuracy of %s: no label is withheld.", DEFAULT_TARGET)
    return chosen or 0.0


def check_disagreement(most: float | None, checkpoints: CheckpointSet) -> None:
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
    if most is not None and checkpoints.is_one and not checkpoints.views:
        raise UserError(
            "max_disagreement is about several checkpoints, and there is only one.",
            "Name others as [A,B,C], or leave it out.",
            field="max_disagreement",
        )


def on_valid(checkpoint: Path | CheckpointSet, spec: ModelSpec, least: float) -> OnValid | None:
    """What a least confidence does on the run's valid split; None if nothing is known of it."""
    predictions = _predictions_of(checkpoint)
    try:
        if predictions is None:
            domain = CheckpointSet.of(checkpoint).domain
            return None if domain is None else OnValid(domain.coverage(least), math.nan)
        labels, logits, _ = _read(predictions)
    except UserError:
        return None
    if not len(labels):
        return None
    found = select(labels, probabilities(logits, spec.temperature), least, threshold=spec.threshold)
    return OnValid(found.coverage, found.accuracy)


def is_far_below(decided: int, faces: int, on_valid: OnValid | None) -> bool:
    """Whether so much less is decided than on valid that the pictures must be of another kind."""
    if on_valid is None or not faces:
        return False
    spread = 2 * math.sqrt(on_valid.coverage * (1 - on_valid.coverage) / faces)
    return decided / faces < on_valid.coverage - max(_FAR_BELOW, spread)


def coverage_text(decided: int, faces: int, on_valid: OnValid | None) -> str:
    """A sentence on how many faces got a label, beside the run's valid split.

    Args:
        decided: Number of faces that have a label.
        faces: Number of faces in all, at least 1.
        on_valid: What the same confidence does there.
    """
    text = f"{decided / faces:.0%} of the faces were given a label"
    if on_valid is None:
        return f"{text}, the others are uncertain."
    text += f"; on the run's valid split it was {on_valid.coverage:.0%}"
    text += "." if math.isnan(on_valid.accuracy) else f", and {on_valid.accuracy:.1%} of those labels were right."
    return text


def closing_text(seen: FaceTotals, least: float, on_valid: OnValid | None, domain: Domain | None) -> str:
    """All there is to say about the faces so far: how many are decided, and whether they are of valid's kind."""
    told = [coverage_text(seen.decided, seen.faces, on_valid)] if least and seen.faces else []
    difference = domain.compare(seen) if domain else None
    if difference is not None and difference.alarm:
        told.append(difference.text)
    elif told and is_far_below(seen.decided, seen.faces, on_valid):
        told.append("These pictures differ from those of the training: more of the labels may be wrong than there.")
    return " ".join(told)


def _predictions_of(checkpoint: Path | CheckpointSet) -> Path | pd.DataFrame | None:
    """The predictions on valid: the file of the run that the checkpoint is in, or the table of a mean."""
    checkpoints = CheckpointSet.of(checkpoint)
    return valid_file(checkpoints.given[0]) if checkpoints.is_one else checkpoints.valid_predictions()


def _chosen(predictions: Path | pd.DataFrame, spec: ModelSpec, target: float) -> float | None:
    labels, logits, clusters = _read(predictions)
    if not len(labels):
        return None
    chosen = choose_abstention(labels, logits, spec.temperature, target, clusters=clusters, threshold=spec.threshold)
    return chosen.min_confidence


def _knee(checkpoint: Path | CheckpointSet, spec: ModelSpec) -> float:
    predictions = _predictions_of(checkpoint)
    if predictions is None:
        domain = CheckpointSet.of(checkpoint).domain
        if domain is None:
            raise _unknown(checkpoint, "min_confidence")
        return domain.knee.min_confidence
    labels, logits, clusters = _read(predictions)
    if not len(labels):
        raise UserError(f"{predictions} is empty.", "Give min_confidence=... as a number.", field="min_confidence")
    who = np.arange(len(labels)) if clusters is None else clusters
    return find_knee(labels, logits, spec.temperature, clusters=who, threshold=spec.threshold).min_confidence


def _unknown(checkpoint: Path | CheckpointSet, field: str) -> UserError:
    needs = "min_confidence=auto" if field == "min_confidence" else field
    if not (checkpoints := CheckpointSet.of(checkpoint)).is_one:
        return UserError(
            f"{checkpoints} are not inside run directories with predictions/valid.parquet of the same images, which "
            f"{needs} needs.",
            "Give such run directories, or min_confidence=... as a number.",
            field=field,
        )
    return UserError(
        f"{checkpoint} is not inside a run directory with predictions/valid.parquet, which {needs} needs.",
        "Give the run directory, or min_confidence=... as a number.",
        field=field,
    )


def _read(predictions: Path | pd.DataFrame) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.int64] | None]:
    """Labels, logits and, where identities are known, persons of a predictions table, each (N,)."""
    import pyarrow as pa

    try:
        table = _table(predictions)
        labels, logits = (np.asarray(table[name]) for name in ("label", "logit"))
    except (OSError, KeyError, pa.ArrowException) as error:
        raise UserError(
            f"{predictions} is not a table of predictions ({error}).", "Restore it, or give min_confidence=..."
        ) from error
    return labels, logits, _clusters(table["identity"].to_numpy()) if "identity" in table.column_names else None


def _table(predictions: Path | pd.DataFrame) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq  # not pandas, which takes longer to load than the network

    if not isinstance(predictions, Path):
        return pa.Table.from_pandas(predictions[["label", "logit", "identity"]])
    known = [name for name in ("identity",) if name in pq.read_schema(predictions).names]
    return pq.read_table(predictions, columns=["label", "logit", *known])


def _clusters(identities: NDArray[Any]) -> NDArray[np.int64]:
    """The same as `intervals.clusters_of`, without pandas: codes from 0; an unknown identity (nan) stands alone."""
    values = identities.astype(np.float64)
    known = ~np.isnan(values)
    codes = np.arange(len(values), dtype=np.int64)
    if known.any():
        _, first, place = np.unique(values[known], return_index=True, return_inverse=True)
        codes[known] = np.flatnonzero(known)[first][place]
    return np.unique(codes, return_inverse=True)[1].astype(np.int64)
