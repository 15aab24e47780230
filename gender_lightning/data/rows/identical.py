"""Images of a data set with exactly the same pixels: copies in other splits, or of other persons or classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from gender_lightning.data.sources.annotations import SPLITS, Index

_DIGEST = 16  # bytes; among 2^64 different images, about one pair would have equal digests


@dataclass(frozen=True)
class Identical:
    """A group of at least two images with the same pixels.

    Attributes:
        image_ids: Names of the images, in the order of the index.
        splits: Splits that have such an image, in the order train, valid, test.
        persons: Number of identities given for them; 1 if identities are unknown.
        labels: Number of classes given for them.
    """

    image_ids: tuple[bytes, ...]
    splits: tuple[str, ...]
    persons: int
    labels: int


class Fingerprints:
    """Digests of the pixels of an index's images, which any number of threads can add.

    Args:
        images: Number of images.
    """

    def __init__(self, images: int) -> None:
        self._digests = np.zeros((images, _DIGEST), np.uint8)
        self._known = np.zeros(images, np.bool_)

    def add(self, row: int, image: NDArray[np.uint8]) -> None:
        """Store the digest of an image, uint8 (H, W, 3)."""
        self._digests[row] = np.frombuffer(pixel_digest(image), np.uint8)
        self._known[row] = True

    def groups(self, index: Index) -> list[Identical]:
        """The groups of identical images, in the order of their first image in the index."""
        rows = np.flatnonzero(self._known)
        _, inverse, counts = np.unique(self._digests[rows], axis=0, return_inverse=True, return_counts=True)
        inverse = inverse.reshape(-1)
        repeated = np.flatnonzero(counts[inverse] > 1)
        members: dict[int, list[int]] = {}
        for place in repeated:
            members.setdefault(int(inverse[place]), []).append(int(rows[place]))
        return [_described(index, group) for group in members.values()]


def pixel_digest(image: NDArray[np.uint8]) -> bytes:
    """The digest of an image, uint8 (H, W, 3), 16 bytes: two images are copies of one another where it is the same."""
    data = np.ascontiguousarray(image).data
    return blake2b(data, digest_size=_DIGEST, salt=b"%dx%d" % image.shape[:2]).digest()


def _described(index: Index, rows: Sequence[int]) -> Identical:
    chosen = np.asarray(rows)
    partition = set(index.partition[chosen].tolist())
    return Identical(
        tuple(bytes(image_id) for image_id in index.image_ids[chosen]),
        tuple(name for number, name in enumerate(SPLITS) if number in partition),
        1 if index.identities is None else len(np.unique(index.identities[chosen])),
        len(np.unique(index.labels[chosen])),
    )


def report(groups: Sequence[Identical], *, most: int = 10) -> list[str]:
    """Lines for the user: a sentence for each kind of group and the first groups of it; empty without groups."""
    if not groups:
        return []
    images = sum(len(group.image_ids) for group in groups)
    lines = [f"{images:,} images are copies of one another, in {_groups(len(groups))}."]
    kinds = (
        ("in more than one split, so that a model is evaluated on images that it was trained on", _crosses_splits),
        ("said to show different persons", lambda group: group.persons > 1),
        ("labelled both female and male", lambda group: group.labels > 1),
    )
    for words, belongs in kinds:
        found = [group for group in groups if belongs(group)]
        if found:
            lines.append(f"{_groups(len(found))} {'is' if len(found) == 1 else 'are'} {words}:")
            lines += [f"  {_shown(group)}" for group in found[:most]]
            lines += [f"  and {_groups(len(found) - most)} more"] if len(found) > most else []
    return lines


def _crosses_splits(group: Identical) -> bool:
    return len(group.splits) > 1


def _groups(count: int) -> str:
    return "1 group" if count == 1 else f"{count:,} groups"


def _shown(group: Identical) -> str:
    names = [image_id.decode(errors="replace") for image_id in group.image_ids[:4]]
    more = len(group.image_ids) - len(names)
    return f"{', '.join(names)}{f' and {more:,} more' if more else ''} ({', '.join(group.splits)})"
