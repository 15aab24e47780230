"""The predictions table: columns, types, one row per image, whole files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from gender_lightning.data.sources.annotations import Index
from gender_lightning.errors import UserError
from gender_lightning.evaluation.predictions import predictions_table, read_predictions, write_predictions


def index(identities: bool = True) -> Index:
    return Index(
        image_ids=np.array([b"000001.jpg", b"000002.jpg", "f/\u00e4.png".encode()]),
        labels=np.array([1, 0, 1], np.int8),
        partition=np.full(3, 2, np.int8),
        attributes=np.array([[True, False], [False, False], [True, True]]),
        attribute_names=("Eyeglasses", "Smiling"),
        identities=np.array([7, 8, 7], np.int32) if identities else None,
        landmarks=None,
    )


def test_columns_and_types_survive_the_file(tmp_path: Path) -> None:
    table = predictions_table(index(), "test", torch.tensor([2.0, -1.0, 0.0]), temperature=2.0)
    path = tmp_path / "predictions" / "test.parquet"
    write_predictions(table, path)
    back = read_predictions(path)
    pd.testing.assert_frame_equal(back, table)
    assert [p.name for p in path.parent.iterdir()] == ["test.parquet"]
    names = ["image_id", "split", "label", "logit", "probability", "identity", "Eyeglasses", "Smiling"]
    assert list(back.columns) == names
    text = str(pd.Series(["a"]).dtype)  # object before pandas 3
    assert [str(t) for t in back.dtypes] == [text, text, "int8", "float32", "float32", "Int32", "bool", "bool"]
    assert back.image_id.tolist() == ["000001.jpg", "000002.jpg", "f/\u00e4.png"]
    expected = torch.sigmoid(torch.tensor([1.0, -0.5, 0.0])).numpy()
    np.testing.assert_allclose(back.probability, expected, rtol=1e-6)


def test_unknown_identities_are_null(tmp_path: Path) -> None:
    path = tmp_path / "valid.parquet"
    write_predictions(predictions_table(index(identities=False), "valid", np.zeros(3)), path)
    back = read_predictions(path)
    assert back.identity.isna().all()
    assert str(back.identity.dtype) == "Int32"


def test_a_row_too_few_or_twice_is_our_own_mistake() -> None:
    with pytest.raises(AssertionError):
        predictions_table(index(), "test", np.zeros(2))
    with pytest.raises(AssertionError, match="once"):
        predictions_table(index().select(np.array([0, 0])), "test", np.zeros(2))


def test_a_file_that_is_no_table_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        read_predictions(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("not parquet")
    with pytest.raises(UserError, match="not a parquet file"):
        read_predictions(tmp_path / "text.parquet")
    pd.DataFrame({"image_id": ["a"]}).to_parquet(tmp_path / "other.parquet")
    with pytest.raises(UserError, match="lacks split, label"):
        read_predictions(tmp_path / "other.parquet")
