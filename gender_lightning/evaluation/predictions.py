"""The predictions table: one row per image of a split, from which everything after a forward pass works."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from gender_lightning.data.annotations import Index
from gender_lightning.errors import UserError
from gender_lightning.evaluation.metrics import sigmoid

if TYPE_CHECKING:
    import pandas as pd  # loaded where a table is made: a training starts without

COLUMNS = ("image_id", "split", "label", "logit", "probability", "identity")


def predictions_table(index: Index, split: str, logits: ArrayLike | Tensor, temperature: float = 1.0) -> pd.DataFrame:
    """Joins logits with what is known of their images.

    Args:
        index: The rows of the split, in the order of the logits.
        split: train, valid or test.
        logits: (N,), of the class male; one for each row.
        temperature: Divides the logits before they become probabilities.

    Returns:
        N rows: image_id str, split str, label int8, logit float32, probability float32 = sigmoid(logit /
        temperature), identity Int32 (null where it is not known), then one bool column per attribute.
    """
    import pandas as pd

    values = logits.detach().float().cpu().numpy() if isinstance(logits, Tensor) else np.asarray(logits)
    values = values.astype(np.float32).reshape(-1)
    assert len(values) == len(index), (len(values), len(index))
    assert len(np.unique(index.image_ids)) == len(index), "an image stands in a table once"
    probability = sigmoid(values.astype(np.float64) / temperature).astype(np.float32)
    identity = [None] * len(index) if index.identities is None else index.identities
    columns = {
        "image_id": [image_id.decode() for image_id in index.image_ids.tolist()],
        "split": [split] * len(index),
        "label": index.labels.astype(np.int8),
        "logit": values,
        "probability": probability,
        "identity": pd.array(identity, dtype="Int32"),
    }
    columns |= {name: index.attributes[:, i] for i, name in enumerate(index.attribute_names)}
    return pd.DataFrame(columns).astype({"image_id": "str", "split": "str"})


def write_predictions(table: pd.DataFrame, path: Path) -> None:
    """Writes a table as parquet, so that the file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        table.to_parquet(temporary, engine="pyarrow", index=False)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_predictions(path: Path) -> pd.DataFrame:
    """Reads a table that `write_predictions` wrote.

    Raises:
        UserError: If the file is missing, no parquet, or not such a table.
    """
    import pandas as pd

    if not path.is_file():
        raise UserError(f"{path} does not exist. Make it with gender-lightning evaluate checkpoint=RUN_DIR.")
    try:
        table = pd.read_parquet(path, engine="pyarrow")
    except (OSError, ValueError) as error:  # pyarrow's ArrowInvalid is a ValueError
        raise UserError(
            f"{path} is not a parquet file ({error}). Make it anew with gender-lightning evaluate."
        ) from error
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise UserError(f"{path} is no predictions table: it lacks {', '.join(missing)}. Give one of a run.")
    return table
