"""Labels that are probably wrong, by confident learning."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("image_id", "label", "suggested", "probability", "label_probability")
_NAMES = np.array(["female", "male"])


def suspect_rows(labels: ArrayLike, probability: ArrayLike) -> NDArray[np.intp]:
    """Rows whose label the model confidently contradicts, the most suspicious first (Northcutt et al. 2021).

    The model is confident of a class where its probability reaches the mean of that class's probability over the
    images labelled so; a suspect is an image that it is confident of in the other class (an off-diagonal count of
    the confident joint). A model that is often unsure of a class therefore needs less to call a label wrong.

    Args:
        labels: (N,), 1 male, 0 female.
        probability: (N,), of male; out of sample: by a model that did not learn from these labels.

    Returns:
        Rising in the probability of the label; none where a class is absent.
    """
    male, values = np.asarray(labels).astype(np.bool_), np.asarray(probability, dtype=np.float64)
    if male.all() or not male.any():
        return np.zeros(0, dtype=np.intp)
    sure_male, sure_female = values >= values[male].mean(), 1 - values >= (1 - values[~male]).mean()
    confident_male = sure_male & (~sure_female | (values > 0.5))
    confident_female = sure_female & (~sure_male | (values < 0.5))
    rows = np.flatnonzero(np.where(male, confident_female, confident_male))
    return rows[np.argsort(np.where(male, values, 1 - values)[rows], kind="stable")].astype(np.intp)


def suspects_table(predictions: pd.DataFrame) -> pd.DataFrame:
    """The suspects of a predictions table: ids, what they are labelled, what the model suggests; no picture.

    Columns are `COLUMNS`; `probability` is that of male, `label_probability` that of the label as it is.
    """
    import pandas as pd

    rows = suspect_rows(predictions["label"], predictions["probability"])
    chosen = predictions.iloc[rows]
    labels, probability = chosen["label"].to_numpy(), chosen["probability"].to_numpy(np.float64)
    columns = {
        "image_id": chosen["image_id"].to_numpy(),
        "label": _NAMES[labels],
        "suggested": _NAMES[1 - labels],
        "probability": probability.round(6),
        "label_probability": np.where(labels == 1, probability, 1 - probability).round(6),
    }
    return pd.DataFrame(columns)
