"""What a gallery shows, from a table small enough to sort by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from gender_lightning.diagnostics.gallery import mistakes, telling, with_decisions


@pytest.fixture
def table() -> pd.DataFrame:
    """Two mistakes (c, e), one image right in the middle (f)."""
    return pd.DataFrame({
        "image_id": list("abcdef"),
        "label": np.array([1, 0, 1, 0, 0, 1], dtype=np.int8),
        "probability": np.array([0.99, 0.02, 0.3, 0.2, 1.0, 0.5], dtype=np.float32),
    })  # fmt: skip


def test_the_loss_is_that_of_the_label_and_finite(table: pd.DataFrame) -> None:
    found = with_decisions(table)
    expected = [-np.log(0.99), -np.log(0.98), -np.log(0.3), -np.log(0.8), 25 * np.log(2), -np.log(0.5)]
    assert found["loss"].to_numpy() == pytest.approx(expected, rel=1e-5)
    assert found["said"].tolist() == [1, 0, 0, 0, 1, 1] and found["row"].tolist() == list(range(6))


def test_mistakes_come_by_their_loss(table: pd.DataFrame) -> None:
    assert mistakes(table)["image_id"].tolist() == ["e", "c"]
    assert mistakes(table[table["image_id"] != "e"])["image_id"].tolist() == ["c"]


def test_the_telling_ones(table: pd.DataFrame) -> None:
    found = telling(table, 3)
    assert found["surest right"]["image_id"].tolist() == ["b", "a", "d"]
    assert found["surest wrong"]["image_id"].tolist() == ["e", "c"]
    assert found["least sure"]["image_id"].tolist() == ["f", "c", "d"]
    assert "place" not in found["surest right"].columns
