"""Which images to look at: the mistakes, the surest and the least sure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


def judged(table: pd.DataFrame) -> pd.DataFrame:
    """A predictions table with what a gallery needs, in its own order.

    Args:
        table: Of `predictions_table`; its rows are those of the split.

    Returns:
        row int64 (in the split), image_id, label, probability (of male), said int8 (at 0.5), loss (-log of the
        probability of the label, nats) and sureness (distance of the probability from 0.5, in 0..0.5).
    """
    found = table[["image_id", "label", "probability"]].copy()
    probability = found["probability"].to_numpy(np.float64)
    truth = found["label"].to_numpy() == 1
    found.insert(0, "row", np.arange(len(found)))
    found["said"] = (probability >= 0.5).astype(np.int8)
    # float32 rounds a sure probability to 1; half of its step keeps the loss finite
    found["loss"] = -np.log(np.where(truth, probability, 1 - probability).clip(2.0**-25))
    found["sureness"] = np.abs(probability - 0.5)
    return found


def mistakes(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of `judged` that were decided wrongly, the largest loss first."""
    found = judged(table)
    wrong = found[found["said"] != found["label"]]
    return wrong.sort_values(["loss", "row"], ascending=[False, True], kind="stable")


def telling(table: pd.DataFrame, count: int = 6) -> dict[str, pd.DataFrame]:
    """The `count` rows of `judged` that were surest and right, surest and wrong, and least sure.

    The surest right alternate between the classes, or the more frequent one would fill the row.
    """
    found = judged(table)
    right = found["said"] == found["label"]
    sure = found[right].sort_values("sureness", ascending=False, kind="stable")
    place = sure.groupby("label").cumcount()
    sure = sure.assign(place=place).sort_values(["place", "label"], kind="stable").drop(columns="place")
    return {
        "surest right": sure.head(count),
        "surest wrong": found[~right].sort_values("sureness", ascending=False, kind="stable").head(count),
        "least sure": found.sort_values("sureness", kind="stable").head(count),
    }
