"""Selection of images worth looking at: mistakes, the most and the least confident decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


def with_decisions(table: pd.DataFrame) -> pd.DataFrame:
    """Add decision, loss and confidence to a predictions table, keeping its order.

    Args:
        table: The result of `predictions_table`, whose rows are those of the split.

    Returns:
        A table with the columns row (int64, in the split), image_id, label, probability (of male), said (int8, the
        decision at 0.5), loss (-log of the probability of the label, nats) and sureness (distance of the probability
        from 0.5, in 0..0.5).
    """
    found = table[["image_id", "label", "probability"]].copy()
    probability = found["probability"].to_numpy(np.float64)
    truth = found["label"].to_numpy() == 1
    found.insert(0, "row", np.arange(len(found)))
    found["said"] = (probability >= 0.5).astype(np.int8)
    # float32 rounds confident probabilities to 1; half a rounding step keeps the loss finite
    found["loss"] = -np.log(np.where(truth, probability, 1 - probability).clip(2.0**-25))
    found["sureness"] = np.abs(probability - 0.5)
    return found


def mistakes(table: pd.DataFrame) -> pd.DataFrame:
    """The misclassified rows of `with_decisions`, largest loss first."""
    found = with_decisions(table)
    wrong = found[found["said"] != found["label"]]
    return wrong.sort_values(["loss", "row"], ascending=[False, True], kind="stable")


def telling(table: pd.DataFrame, count: int = 6) -> dict[str, pd.DataFrame]:
    """Up to `count` rows of `with_decisions` each: the surest right, the surest wrong, and the least sure.

    The surest right alternate between the classes; otherwise the more frequent class would fill the row.
    """
    found = with_decisions(table)
    right = found["said"] == found["label"]
    sure = found[right].sort_values("sureness", ascending=False, kind="stable")
    place = sure.groupby("label").cumcount()
    sure = sure.assign(place=place).sort_values(["place", "label"], kind="stable").drop(columns="place")
    return {
        "surest right": sure.head(count),
        "surest wrong": found[~right].sort_values("sureness", ascending=False, kind="stable").head(count),
        "least sure": found.sort_values("sureness", kind="stable").head(count),
    }
