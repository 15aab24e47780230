"""`data.folds`: cross-validation over persons, as scikit-learn's GroupKFold promises it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gender_lightning.config import TrainConfig, parse_config
from gender_lightning.data.reading import make_data, open_data
from gender_lightning.data.rows.folds import hold_out
from gender_lightning.data.rows.selection import random_split
from gender_lightning.data.sources.annotations import Index
from gender_lightning.errors import UserError, UserErrors
from gender_lightning.overrides import compose


def make_index(persons: int, images: int = 600) -> Index:
    """Every person is in one split: half of them in train, a quarter each in valid and test."""
    rng = np.random.default_rng(0)
    person = rng.integers(0, persons, images).astype(np.int32)
    names = np.array([f"{row}.jpg" for row in range(images)], dtype=np.bytes_)
    partition = np.array([0, 0, 1, 2], dtype=np.int8)[person % 4]
    labels = rng.integers(0, 2, images).astype(np.int8)
    return Index(names, labels, partition, np.zeros((images, 0), np.bool_), (), person)


def test_every_image_is_held_out_once_with_all_of_its_person() -> None:
    index = make_index(persons=80)
    folds = [hold_out(index, 5, fold, seed=3) for fold in range(1, 6)]
    held_out = np.sum([fold.partition == 1 for fold in folds], axis=0)
    assert index.identities is not None
    assert (held_out[index.partition < 2] == 1).all() and (held_out[index.partition == 2] == 0).all()
    for fold in folds:
        assert (fold.partition[index.partition == 2] == 2).all()
        assert not set(index.identities[fold.partition == 0]) & set(index.identities[fold.partition == 1])
        assert (fold.partition == 1).sum() == pytest.approx(held_out.sum() / 5, rel=0.2)
    assert not np.array_equal(hold_out(index, 5, 1, seed=4).partition, folds[0].partition)


def test_few_persons_are_divided_so_that_every_part_has_both_classes() -> None:
    person = np.repeat(np.arange(24), 5).astype(np.int32)
    names = np.array([f"{row}.jpg" for row in range(120)], dtype=np.bytes_)
    labels = (person % 3 == 0).astype(np.int8)  # 8 men, 16 women
    index = Index(names, labels, np.zeros(120, np.int8), np.zeros((120, 0), np.bool_), (), person)
    for seed in range(30):
        split = random_split(index, {"train": 0.5, "valid": 0.25, "test": 0.25}, "identities", seed)
        assert [int(split.labels[split.split(name)].sum()) for name in ("train", "valid", "test")] == [20, 10, 10]
        for fold in range(1, 5):
            held_out = hold_out(index, 4, fold, seed)
            assert held_out.labels[held_out.partition == 1].mean() == pytest.approx(1 / 3, abs=0.1)


def test_more_folds_than_persons_are_refused() -> None:
    with pytest.raises(UserError, match="data.folds=10: train and valid have 6 persons"):
        hold_out(make_index(persons=8), 10, 1, seed=0)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["data.folds=5"], "data.folds needs data.fold"),
        (["data.fold=1"], "data.fold needs data.folds"),
        (["data.folds=5", "data.fold=6"], "data.fold=6 of 5 folds"),
        (["data.folds=1", "data.fold=1"], "greater than or equal to 2"),
    ],
)
def test_folds_that_contradict_each_other_are_refused(typed: list[str], said: str) -> None:
    with pytest.raises(UserErrors, match=said):
        parse_config(TrainConfig, compose("train", typed))


def test_the_data_of_a_fold_are_limited_like_those_of_a_split(tmp_path: Path) -> None:
    typed = [f"data.root={tmp_path / 'faces'}", "data.sizes={train:40,valid:20,test:10}", "data.folds=3", "data.fold=2"]
    config = parse_config(TrainConfig, compose("train", typed)).data
    make_data(config)
    index, _ = open_data(config)
    whole, _ = open_data(config.model_copy(update={"folds": None, "fold": None}))
    assert [len(index.split(split)) for split in ("train", "valid", "test")] != [40, 20, 10]
    assert len(index) == len(whole) == 70 and len(index.split("test")) == 10
    limited, _ = open_data(config.model_copy(update={"limit": 8}))
    assert [len(limited.split(split)) for split in ("train", "valid", "test")] == [8, 8, 8]
