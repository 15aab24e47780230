"""Groups by counting, attributes of the user's own, labels that contradict their person's."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gender_lightning.config import CelebaData
from gender_lightning.config.validation import parse_config
from gender_lightning.data.reading import open_data
from gender_lightning.data.rows.groups import make_groups
from gender_lightning.data.rows.selection import contradictions, without_contradictions
from gender_lightning.data.sources.annotations import Index
from gender_lightning.data.sources.attribute_file import with_attributes
from gender_lightning.errors import UserError
from tests.data.conftest import names

FIELDS = {
    "image_size": 32, "batch_size": 4, "eval_batch_size": "auto", "workers": 0, "prefetch": "auto",
    "pin_memory": "auto", "persistent_workers": "auto", "crop": "square", "zoom": 1.0, "interpolation": "bilinear",
    "fraction": 1.0, "limit": None, "seed": 0, "name": "celeba", "split": "official", "sizes": None,
}  # fmt: skip


def index_of(cells: dict[tuple[int, int, int], int]) -> Index:
    """Training images by (male, hat, glasses) and their number."""
    rows = np.array([cell for cell, count in cells.items() for _ in range(count)])
    return Index(
        image_ids=np.array([f"{row}.jpg".encode() for row in range(len(rows))]),
        labels=rows[:, 0].astype(np.int8),
        partition=np.zeros(len(rows), dtype=np.int8),
        attributes=rows[:, 1:].astype(np.bool_),
        attribute_names=("Hat", "Glasses"),
    )


CELLS = {(0, 0, 0): 40, (0, 1, 0): 9, (0, 0, 1): 8, (1, 0, 0): 30, (1, 1, 0): 3, (1, 0, 1): 4, (1, 1, 1): 2}


@pytest.mark.parametrize(
    ("minimum", "expected"),
    [
        (1, {"female without Hat without Glasses": 40, "female without Hat with Glasses": 8,
             "female with Hat without Glasses": 9, "male without Hat without Glasses": 30,
             "male without Hat with Glasses": 4, "male with Hat without Glasses": 3,
             "male with Hat with Glasses": 2}),
        # together the small cells of the men are 9 images, which is enough
        (9, {"female with Hat without Glasses": 9, "female rest": 48, "male without Hat without Glasses": 30,
             "male rest": 9}),
        (20, {"female": 57, "male": 39}),  # what is left joins the largest cell
        (1000, {"female": 57, "male": 39}),
    ],
)  # fmt: skip
def test_small_cells_are_pooled_within_their_class(minimum: int, expected: dict[str, int]) -> None:
    index = index_of(CELLS)
    groups = make_groups(index, ["Hat", "Glasses"], minimum)
    assert dict(zip(groups.names, groups.counts, strict=True)) == expected
    of = groups.of(index)
    assert np.bincount(of).tolist() == list(groups.counts)
    assert (np.array(groups.labels)[of] == index.labels).all(), "a group lies within a class"
    small = {cell: count for cell, count in CELLS.items() if count < minimum}
    assert sorted(count for _, count in groups.pooled) == sorted(small.values())
    said = groups.describe(minimum)
    assert said.count("\n") == 0 and ("Pooled" in said) == bool(small)


def test_the_rest_may_be_large_enough_by_itself() -> None:
    groups = make_groups(index_of(CELLS), ["Hat", "Glasses"], 5)
    assert dict(zip(groups.names, groups.counts, strict=True)) == {
        "female without Hat without Glasses": 40, "female without Hat with Glasses": 8,
        "female with Hat without Glasses": 9, "male without Hat without Glasses": 30, "male rest": 9,
    }  # fmt: skip


def test_an_image_of_a_cell_that_training_lacks_has_a_group() -> None:
    groups = make_groups(index_of(CELLS), ["Hat", "Glasses"], 1)
    unseen = groups.of(index_of({(0, 1, 1): 1}))
    assert groups.labels[int(unseen[0])] == 0


def test_without_attributes_the_groups_are_the_classes() -> None:
    groups = make_groups(index_of(CELLS), [], 50)
    assert (groups.names, groups.counts, groups.pooled) == (("female", "male"), (57, 39), ())


def test_what_the_data_lack_is_named() -> None:
    index = index_of(CELLS)
    with pytest.raises(UserError, match="no attribute Hats. Did you mean Hat"):
        make_groups(index, ["Hats"], 1)
    bare = replace(index, attributes=np.zeros((len(index), 0), dtype=np.bool_), attribute_names=())
    with pytest.raises(UserError, match="data.attributes=FILE"):
        make_groups(bare, ["Hat"], 1)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"groups": ["Male"]}, "Male is the label itself"),
        ({"groups": ["Bald", "Bald"]}, "names an attribute twice"),
        ({"sampler": "group_balanced"}, "Add data.groups="),
        ({"sampler_cap": 0.5}, "greater than or equal to 1"),
    ],
)
def test_contradictions_between_fields_are_found(changes: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        parse_config(CelebaData, {**FIELDS, "root": "data", **changes})


def test_a_csv_file_adds_attributes(celeba: Callable[..., Path], tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    lines = [
        f"{name},{'yes' if row % 5 == 0 else 'No'},{'-1' if row < 20 else '1'}" for row, name in enumerate(names())
    ]
    file.write_text("\ufeffimage_id,Indoors,Phone\n" + "\n".join([*reversed(lines), "other.jpg,1,1", ""]))
    config = CelebaData.model_validate({**FIELDS, "root": str(celeba()), "limit": 6, "attributes": str(file)})
    index, _ = open_data(config)
    assert index.attribute_names == ("Bald", "Young", "Indoors", "Phone") and len(index) == 18
    for image_id, attributes in zip(index.image_ids.tolist(), index.attributes, strict=True):
        row = int(image_id[:6]) - 1
        assert attributes.tolist() == [row % 2 == 0, True, row % 5 == 0, row >= 20]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1 is not image_id and the names"),
        ("name,a\n1,1\n", "line 1 is not image_id and the names"),
        ("image_id,Male\n", "Male is the label itself"),
        ("image_id,logit\n", "the column logit cannot be an attribute"),
        ("image_id,Hat\n", "have an attribute Hat already"),
        ("image_id,a,a\n", "there are two columns a"),
        ("image_id,\n", "no usable name"),
        ("image_id,a\n0.jpg,1,1\n", "line 2 has 2 values instead of 1"),
        ("image_id,a\n0.jpg,maybe\n", "line 2: 'maybe' is neither 1 nor 0"),
        ("image_id,a\n0.jpg,1\n0.jpg,1\n", "0.jpg is listed twice"),
        ("image_id,a\n0.jpg,1\n", "no line for 95 of 96 images"),
        (b"image_id,a\n\xff.jpg,1\n", "not UTF-8"),
        (None, "cannot be read"),
    ],
)
def test_a_csv_file_that_does_not_fit_is_refused(tmp_path: Path, text: str | bytes | None, said: str) -> None:
    file = tmp_path / "mine.csv"
    if text is not None:
        file.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(UserError, match=said) as error:
        with_attributes(index_of(CELLS), file)
    assert error.value.field == "data.attributes"


def test_labels_against_their_person_are_left_out_of_training_alone(caplog: pytest.LogCaptureFixture) -> None:
    persons = np.array([1, 1, 1, 2, 2, 3, 4, 4, 4, 4, 1, 1, 1])
    labels = np.array([0, 0, 1, 0, 1, 1, 1, 1, 0, 1, 1, 1, 1], dtype=np.int8)  # person 2 is undecided
    partition = np.array([0] * 10 + [1, 2, 1], dtype=np.int8)
    index = Index(
        np.array([b"%d" % row for row in range(13)]), labels, partition, np.zeros((13, 0), dtype=np.bool_), (),
        identities=persons.astype(np.int32),
    )  # fmt: skip
    assert contradictions(index).tolist() == [2, 8]
    with caplog.at_level(logging.INFO):
        kept = without_contradictions(index)
    assert kept.image_ids.tolist() == [b"%d" % row for row in range(13) if row not in (2, 8)]
    assert "2 of 10 training images are left out" in caplog.text
    with pytest.raises(UserError, match="identity_CelebA.txt"):
        contradictions(replace(index, identities=None))


def test_contradictions_are_left_out_before_a_limit(celeba: Callable[..., Path]) -> None:
    root = celeba()  # persons of three images, of whom one is male: the second and third of each contradict nobody
    config = CelebaData.model_validate({**FIELDS, "root": str(root), "drop_contradictions": True})
    index, _ = open_data(config)
    assert [len(index.split(split)) for split in ("train", "valid", "test")] == [8, 6, 6]
    assert not index.labels[index.split("train")].any() and index.labels[index.split("valid")].any()
