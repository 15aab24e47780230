"""The predictions table: one row per image of a split, from which everything after a forward pass works."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from gender_lightning.data.sources.annotations import Index
from gender_lightning.durable import writing
from gender_lightning.errors import UserError
from gender_lightning.evaluation.metric_list import sigmoid

if TYPE_CHECKING:
    import pandas as pd  # loaded where a table is made: a training starts without

_MOST_ROWS, _MOST_COLUMNS, _MOST_BYTES = 20_000_000, 1000, 1 << 32
_LONGEST_NAME = 4096  # bytes of a path
_NUMBER_OR_NULL = "iuf"
_MAY_LACK = (_NUMBER_OR_NULL, "f")  # logits are nan where a training has diverged
_COLUMN_KINDS = {
    "image_id": "T", "split": "T", "label": "iu", "logit": "f", "probability": "f", "identity": _NUMBER_OR_NULL,
}  # fmt: skip
# what pyarrow and pandas raise; ArrowInvalid is a ValueError
UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError, MemoryError)
_REMEDY = "Give a file that `train` or `evaluate` wrote."
COLUMNS = ("image_id", "split", "label", "logit", "probability", "identity")


def predictions_table(index: Index, split: str, logits: ArrayLike | Tensor, temperature: float = 1.0) -> pd.DataFrame:
    """Join logits with what is known of their images.

    Args:
        index: The rows of the split, in the order of the logits.
        split: train, valid or test.
        logits: (N,), logits of the class male, one for each row.
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
    """Write a table as parquet, so that the file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path, "wb") as file:
        file.write(table.to_parquet(engine="pyarrow", index=False))


def read_predictions(path: Path) -> pd.DataFrame:
    """Read a table that `write_predictions` wrote.

    Raises:
        UserError: The file is missing, is not parquet, or holds something else.
    """
    import pandas as pd

    if not path.is_file():
        raise UserError(f"{path} does not exist.", "Make it with gender-lightning evaluate checkpoint=RUN_DIR.")
    try:
        check_size(path)
        table = pd.read_parquet(path, engine="pyarrow")
    except UNREADABLE as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{path} is not a parquet file ({reason}).", "Write it again with gender-lightning evaluate."
        ) from error
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise UserError(f"{path} is not a table of predictions: it lacks {', '.join(missing)}.", _REMEDY)
    wrong = [name for name, kinds in _COLUMN_KINDS.items() if not _is_of(table[name], kinds)]
    if wrong or not table["label"].isin((0, 1)).all() or table["image_id"].duplicated().any():
        what = f"{', '.join(wrong)} of another type" if wrong else "labels other than 0 and 1, or an image twice"
        raise UserError(f"{path} is not a table of predictions: it has {what}.", _REMEDY)
    return table


def attributes_of(table: pd.DataFrame) -> dict[str, NDArray[np.bool_]]:
    """The attributes of a table's images by name, each bool (N,)."""
    return {
        str(name): table[name].to_numpy(dtype=np.bool_)
        for name in table.columns
        if name not in (*COLUMNS, "Male") and table[name].dtype == np.bool_
    }


def _is_of(column: Any, kinds: str) -> bool:
    """Whether a column has numbers of these kinds (numpy's letters), or texts (`T`)."""
    if kinds == "T":
        return bool(column.map(lambda value: isinstance(value, str)).all())
    if kinds == _NUMBER_OR_NULL and column.isna().all():  # which has no type of its own
        return True
    return getattr(column.dtype, "kind", "") in kinds and (kinds in _MAY_LACK or not column.isna().any())


def check_size(path: Path) -> None:
    """Refuse a file that unpacks to more than any data set: parquet can say a value a billion times in a few bytes."""
    from pyarrow import parquet

    about = parquet.read_metadata(path)
    claimed = sum(about.row_group(number).total_byte_size for number in range(about.num_row_groups))
    if about.num_rows > _MOST_ROWS or about.num_columns > _MOST_COLUMNS or claimed > _MOST_BYTES:
        raise ValueError(f"{about.num_rows:,} rows of {about.num_columns} columns are too much")
    names = [name for name in ("image_id", "split") if name in about.schema.names]
    with parquet.ParquetFile(path, read_dictionary=names) as file:
        for batch in file.iter_batches(columns=names):
            for column in batch.columns:
                words = getattr(column, "dictionary", column)
                if len(words) and words.nbytes / len(words) > _LONGEST_NAME:
                    raise ValueError("its names are longer than those of files")
