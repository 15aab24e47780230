"""Selection of rows: those with an image, subsets, random splits. All are pure functions of an index and a seed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gender_lightning.data.sources.annotations import SPLITS, Index
from gender_lightning.data.sources.images import ImageStore
from gender_lightning.errors import UserError
from gender_lightning.runs import is_first_process

log = logging.getLogger(__name__)


def with_images(index: Index, store: ImageStore) -> Index:
    """Drop the rows whose image is not there (a partial copy), and log how many.

    Raises:
        UserError: No row has an image.
    """
    there = store.exists(index.image_ids)
    missing = int(len(index) - there.sum())
    if not missing:
        return index
    if missing == len(index):
        first = store.describe(index.image_ids[0])
        raise UserError(
            f"None of the {len(index):,} label rows has an image ({first} is missing, for one).",
            "Take labels and images from the same copy of CelebA.",
        )
    log.warning("%s of %s label rows have no image and are left out.", f"{missing:,}", f"{len(index):,}")
    return index.select(np.flatnonzero(there))


def stratified_fraction(index: Index, fraction: float, seed: int) -> Index:
    """Keep a fraction (0, 1] of each split, in the proportions of its classes; at least one of each class.

    Subsets are nested: a smaller fraction is part of a larger one of the same seed.
    """
    if fraction >= 1:
        return index
    return _keep(index, lambda size: min(size, max(2, round(size * fraction))), seed)


def stratified_limit(index: Index, limit: int, seed: int) -> Index:
    """Keep at most ``limit`` images of each split, in the proportions of its classes. Nested, as above."""
    return _keep(index, lambda size: min(size, limit), seed)


def random_split(
    index: Index, sizes: Mapping[str, int | float], by: Literal["images", "identities"], seed: int
) -> Index:
    """A new seeded partition; rows that no split takes are left out.

    Args:
        index: The rows to distribute; their present partition is ignored.
        sizes: Sizes of ``train``, ``valid`` and ``test``: numbers of images, or fractions of all.
        by: ``images``: every split has the class proportions of the whole, and a person can be in several;
            ``identities``: no person is in two splits, and men and women are spread evenly.
        seed: Seed that decides which images go to which split.

    Raises:
        UserError: There are not as many images, or no identities to split by.
    """
    if by == "identities":
        parts = _split_identities(index, sizes, seed)
    else:
        parts = _split_images(index, _counts(sizes, len(index)), seed)
    partition = np.full(len(index), -1, dtype=np.int8)
    for number, rows in enumerate(parts):
        partition[rows] = number
    return replace(index, partition=partition).select(np.flatnonzero(partition >= 0))


def contradictions(index: Index) -> NDArray[np.intp]:
    """Find training images whose label contradicts most training images of the same person.

    If a person has as many images of one label as of the other, none of them is a contradiction.

    Args:
        index: The rows of all splits, with all images of each person.

    Returns:
        The rows, ascending.

    Raises:
        UserError: The identities are unknown.
    """
    if index.identities is None:
        raise UserError(
            "data.drop_contradictions=true needs the identities, which the data do not have.",
            "Put identity_CelebA.txt beside CelebA's other label files, give a folder one subfolder for each person, "
            "or do without: data.drop_contradictions=false.",
            field="data.drop_contradictions",
        )
    rows = index.split("train")
    labels = index.labels[rows].astype(np.int64)
    _, person = np.unique(index.identities[rows], return_inverse=True)
    majority = np.sign(np.bincount(person, 2 * labels - 1))
    return rows[majority[person] * (2 * labels - 1) < 0]


def without_contradictions(index: Index) -> Index:
    """Leave out the training images that `contradictions` finds, and log how many.

    Raises:
        UserError: The identities are unknown.
    """
    wrong = contradictions(index)
    if is_first_process():
        log.info(
            "%s of %s training images are left out, since their label contradicts most images of the same person.",
            f"{len(wrong):,}", f"{len(index.split('train')):,}",
        )  # fmt: skip
    return index.select(np.setdiff1d(np.arange(len(index)), wrong))


def order_of_persons(
    person: NDArray[np.intp], labels: NDArray[np.int8], generator: np.random.Generator
) -> NDArray[np.intp]:
    """Random order of the persons in which men and women are spread evenly, so that every part of it has both.

    Args:
        person: The person of each image, from 0 on, (N,).
        labels: The label of each image, (N,); a person has that of most of their images.
        generator: Source of the order.

    Returns:
        The persons, each once.
    """
    images = np.bincount(person)
    male = 2 * np.bincount(person, labels) > images
    place = np.empty(len(images))
    for label in (False, True):
        rows = generator.permutation(np.flatnonzero(male == label))
        place[rows] = (np.arange(len(rows)) + generator.random()) / max(1, len(rows))
    return np.argsort(place, kind="stable")


def check_identities_disjoint(index: Index) -> int:
    """Number of identities with images in more than one split; 0 where identities are unknown."""
    if index.identities is None or not len(index):
        return 0
    pairs = np.unique(np.stack([index.identities.astype(np.int64), index.partition.astype(np.int64)]), axis=1)
    _, splits = np.unique(pairs[0], return_counts=True)
    return int((splits > 1).sum())


def class_counts(index: Index, split: str) -> tuple[int, int]:
    """(female, male) images of a split."""
    labels = index.labels[index.split(split)]
    male = int(labels.sum())
    return len(labels) - male, male


def check_classes(index: Index, split: str) -> None:
    """Refuse a split of one class, in which neither learning nor the metrics mean anything.

    Raises:
        UserError: One of the classes has no image.
    """
    female, male = class_counts(index, split)
    if not female or not male:
        raise UserError(
            f"The {split} split has {female} female and {male} male images: both classes are needed.",
            "Raise data.limit or data.fraction, or check the labels (`gender-lightning data summary`).",
        )


def _keep(index: Index, wanted: Callable[[int], int], seed: int) -> Index:
    """Keep ``wanted(size)`` images of each split."""
    kept = []
    for number, split in enumerate(SPLITS):
        rows = index.split(split)
        if len(rows):
            generator = np.random.default_rng([seed, number])
            kept.append(rows[_stratified(index.labels[rows], wanted(len(rows)), generator)])
    return index.select(np.sort(np.concatenate(kept)))


def _stratified(labels: NDArray[np.int8], count: int, generator: np.random.Generator) -> NDArray[np.intp]:
    """``count`` positions, with the classes in proportion."""
    classes, shares = _shuffled_classes(labels, generator), _shares(labels, count)
    return np.concatenate([rows[:size] for rows, size in zip(classes, shares, strict=True)])


def _shuffled_classes(labels: NDArray[np.int8], generator: np.random.Generator) -> list[NDArray[np.intp]]:
    return [generator.permutation(np.flatnonzero(labels == label)) for label in (0, 1)]


def _shares(labels: NDArray[np.int8], count: int) -> tuple[int, int]:
    """``count`` divided between the classes: at least one of each, where both exist and two or more are wanted."""
    male, total = int(labels.sum()), len(labels)
    share = round(count * male / total)
    if count >= 2 and 0 < male < total:
        share = min(max(share, 1), count - 1)
    share = min(max(share, count - (total - male)), male)
    return count - share, share


def _counts(sizes: Mapping[str, int | float], total: int) -> list[int]:
    values = [sizes.get(split, 0) for split in SPLITS]
    if any(isinstance(value, float) for value in values):
        edges = np.round(np.cumsum([0.0, *values]) * total).astype(int)
        return [int(size) for size in np.diff(edges)]
    for split, value in zip(SPLITS, values, strict=True):
        if value == 1:
            log.warning("data.sizes.%s=1 is one image. Write %s=1.0 to mean all of them.", split, split)
    wanted = int(sum(values))
    if wanted > total:
        raise UserError(
            f"data.sizes asks for {wanted:,} images and there are {total:,}.",
            "Ask for fewer, or for fractions (0.8).",
            field="data.sizes",
        )
    return [int(value) for value in values]


def _split_images(index: Index, counts: list[int], seed: int) -> Iterator[NDArray[np.intp]]:
    classes = _shuffled_classes(index.labels, np.random.default_rng(seed))
    total = sum(counts)
    chosen = _shares(index.labels, total) if total else (0, 0)
    left = [rows[:size] for rows, size in zip(classes, chosen, strict=True)]
    both = np.array([0, 1], dtype=np.int8)
    for count in counts:
        sizes = _shares(np.repeat(both, [len(rows) for rows in left]), count) if count else (0, 0)
        yield np.concatenate([rows[:size] for rows, size in zip(left, sizes, strict=True)])
        left = [rows[size:] for rows, size in zip(left, sizes, strict=True)]


def _split_identities(index: Index, sizes: Mapping[str, int | float], seed: int) -> Iterator[NDArray[np.intp]]:
    if index.identities is None:
        raise UserError(
            "data.split=identities needs identity_CelebA.txt, which is missing.",
            "Put it beside the other label files, or use data.split=images.",
            field="data.split",
        )
    counts = _counts(sizes, len(index))
    exact = not any(isinstance(value, float) for value in sizes.values())
    _, person = np.unique(index.identities, return_inverse=True)
    rank = np.argsort(order_of_persons(person, index.labels, np.random.default_rng(seed)))
    order = np.argsort(rank[person], kind="stable")  # persons in that order, each person's images together
    ranks = rank[person][order]
    edges = np.append(np.flatnonzero(np.diff(ranks, prepend=-1)), len(order))  # where persons begin; the end
    begin = target = 0
    for count in counts:
        target = begin + count if exact else target + count
        end = int(edges[np.searchsorted(edges, min(target, len(order)))]) if count else begin
        if exact and end - begin < count:
            raise UserError(
                "data.sizes leaves no room for whole identities.",
                "Ask for fewer images, or for fractions (0.8).",
                field="data.sizes",
            )
        # Exact sizes leave out the rest of the last person, who is then in no other split either.
        yield order[begin : begin + count if exact else end]
        begin = end
