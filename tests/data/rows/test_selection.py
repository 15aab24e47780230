"""Subsets keep the class proportions, splits keep people apart, and both are functions of the seed."""

from __future__ import annotations

import numpy as np
import pytest

from gender_lightning.data.rows.selection import (
    check_classes,
    check_identities_disjoint,
    class_counts,
    random_split,
    stratified_fraction,
    stratified_limit,
)
from gender_lightning.data.sources.annotations import SPLITS, Index
from gender_lightning.errors import UserError


def make_index(n: int = 1000, male: float = 0.4) -> Index:
    generator = np.random.default_rng(0)
    return Index(
        image_ids=np.array([f"{row:06d}.jpg".encode() for row in range(n)]),
        labels=(np.arange(n) < male * n).astype(np.int8),
        partition=generator.permutation(np.arange(n) % 10).clip(7, 9).astype(np.int8) - np.int8(7),
        attributes=np.zeros((n, 0), dtype=np.bool_),
        attribute_names=(),
        identities=generator.integers(0, n // 5, n).astype(np.int32),
    )


def test_subsets_are_stratified_nested_and_seeded() -> None:
    index = make_index()
    large, small = stratified_limit(index, 90, seed=1), stratified_limit(index, 30, seed=1)
    for split in SPLITS:
        assert sum(class_counts(large, split)) == min(90, len(index.split(split)))
        female, male = class_counts(index, split)
        assert class_counts(small, split)[1] == round(30 * male / (female + male))
    assert set(small.image_ids) < set(large.image_ids)
    assert set(small.image_ids) != set(stratified_limit(index, 30, seed=2).image_ids)
    part = stratified_fraction(index, 0.25, seed=1)
    assert abs(len(part) - 250) <= 3 and (np.diff([int(i[:6]) for i in part.image_ids]) > 0).all()
    assert stratified_fraction(index, 1.0, seed=1) is index


def test_a_small_subset_has_both_classes() -> None:
    index = make_index(1000, male=0.05)
    assert class_counts(stratified_limit(index, 3, seed=0), "train") == (2, 1)


def test_the_decks_split_is_exact_and_stratified() -> None:
    index = random_split(make_index(), {"train": 400, "valid": 0, "test": 100}, "images", seed=3)
    assert [class_counts(index, split) for split in SPLITS] == [(240, 160), (0, 0), (60, 40)]
    assert len(set(index.image_ids)) == 500
    assert check_identities_disjoint(index) > 0  # people are shared, as there


@pytest.mark.parametrize("sizes", [{"train": 400, "valid": 50, "test": 100}, {"train": 0.7, "valid": 0.1, "test": 0.2}])
def test_an_identity_split_keeps_people_apart(sizes: dict[str, float]) -> None:
    index = random_split(make_index(), sizes, "identities", seed=3)
    assert check_identities_disjoint(index) == 0
    counts = [len(index.split(split)) for split in SPLITS]
    if sizes["train"] == 400:
        assert counts == [400, 50, 100]
    else:
        assert sum(counts) == 1000 and np.abs(np.array(counts) - [700, 100, 200]).max() < 15


def test_fractions_of_images() -> None:
    index = random_split(make_index(), {"train": 0.8, "valid": 0.1, "test": 0.1}, "images", seed=0)
    assert [class_counts(index, split) for split in SPLITS] == [(480, 320), (60, 40), (60, 40)]


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(UserError, match="asks for 1,001 images and there are 1,000"):
        random_split(make_index(), {"train": 1001}, "images", seed=0)
    with pytest.raises(UserError, match="no room for whole identities"):
        random_split(make_index(), {"train": 500, "valid": 0, "test": 500}, "identities", seed=0)


def test_one_class_is_refused() -> None:
    with pytest.raises(UserError, match="train split has 800 female and 0 male images: both classes"):
        check_classes(make_index(male=0.0), "train")


def test_a_count_of_one_is_told_from_all_of_them(caplog: pytest.LogCaptureFixture) -> None:
    index = make_index()
    assert len(random_split(index, {"train": 0.0, "valid": 0.0, "test": 1.0}, "images", seed=0)) == len(index)
    assert not caplog.records
    assert len(random_split(index, {"train": 0, "valid": 0, "test": 1}, "images", seed=0)) == 1
    assert "data.sizes.test=1 is one image. Write test=1.0" in caplog.text
