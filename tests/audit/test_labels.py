"""What the label files alone show, against counts by pandas; no pictures are needed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gender_lightning.audit.label_files import disagreeing_files
from gender_lightning.audit.labels import cells, contradictions, persons_across_splits
from gender_lightning.commands.data import data
from gender_lightning.config import DataCommandConfig, parse_config
from gender_lightning.data.sources.annotations import SPLITS, Index
from gender_lightning.overrides import compose
from tests.data.conftest import celeba  # noqa: F401


@pytest.fixture
def index() -> Index:
    rng = np.random.default_rng(1)
    n = 400
    return Index(
        image_ids=np.array([f"{row}.jpg" for row in range(n)], dtype=np.bytes_),
        labels=(rng.random(n) < 0.4).astype(np.int8),
        partition=rng.integers(0, 3, n).astype(np.int8),
        attributes=rng.random((n, 2)) < (0.03, 0.5),
        attribute_names=("Bald", "Young"),
        identities=rng.integers(1, 90, n).astype(np.int32),
    )


def test_persons_and_contradictions_are_those_of_pandas(index: Index) -> None:
    table = pd.DataFrame({"person": index.identities, "male": index.labels, "split": index.partition})
    people = table.groupby("person")
    found = persons_across_splits(index)
    assert found is not None and found.total == people.ngroups
    assert {row[0] for row in found.rows} == {str(p) for p, n in people["split"].nunique().items() if n > 1}
    wrong = contradictions(index)
    assert wrong is not None
    assert wrong.count == int(people["male"].agg(lambda male: min(male.sum(), len(male) - male.sum())).sum())
    sizes = people.size()
    assert all(row[4] + row[5] == sizes[int(row[3])] for row in wrong.rows)


def test_small_cells_are_those_of_a_cross_table(index: Index) -> None:
    few, thin = cells(index, smallest=20)
    expected_few, expected_thin = set(), set()
    for column, name in enumerate(index.attribute_names):
        for value in (0, 1):
            for label in (0, 1):
                members = (index.attributes[:, column] == value) & (index.labels == label)
                cell = (f"{name}={value}", ("female", "male")[label])
                if (members & (index.partition == 0)).sum() < 20:
                    expected_few.add(cell)
                if len(set(index.identities[members & (index.partition == 2)].tolist())) < 10:  # type: ignore[index]
                    expected_thin.add(cell)
    assert {row[:2] for row in few.rows} == expected_few and {row[:2] for row in thin.rows} == expected_thin
    assert few.count == len(few.rows) and few.total == 8


def test_copies_of_a_label_file_that_differ_are_found(celeba: Callable[..., Path]) -> None:  # noqa: F811
    root = celeba(images=False)
    assert disagreeing_files(root) is None
    lines = [line.split() for line in (root / "list_eval_partition.txt").read_text().splitlines()]
    lines[3][1], lines[5][0] = "2", "other.jpg"
    (root / "list_eval_partition.csv").write_text("image_id,partition\n" + "\n".join(map(",".join, lines)))
    (root / "Anno").mkdir()
    text = (root / "list_attr_celeba.txt").read_text().replace("000009.jpg  1", "000009.jpg -1")
    (root / "Anno" / "list_attr_celeba.txt").write_text(text)
    found = disagreeing_files(root)
    assert found is not None
    assert {(row[0], row[2]) for row in found.rows} == {
        ("000004.jpg", "value: 0 and 2"), ("000006.jpg", "only in list_eval_partition.txt"),
        ("other.jpg", "only in list_eval_partition.csv"), ("000009.jpg", "Bald: 1 and 0"),
    }  # fmt: skip


def test_labels_alone_are_audited(celeba: Callable[..., Path], tmp_path: Path) -> None:  # noqa: F811
    root = celeba(images=False)
    typed = [f"data.root={root}", f"output={tmp_path / 'out'}"]
    data("audit", parse_config(DataCommandConfig, compose("data", typed)))
    found = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert found["images"] == 24 and found["splits"] == dict(zip(SPLITS, (12, 6, 6), strict=True))
    assert "contradictions" in found["findings"] and "unreadable" not in found["findings"]
    assert any("only the label files" in sentence for sentence in found["left_out"])
