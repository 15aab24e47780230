"""Pictures that are looked at together: as many as pay, and as memory allows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
_MOST_PIXELS = 8_000_000  # 24 MB as RGB; a larger picture is alone


def bunches(pictures: Iterable[T], pixels: Callable[[T], int]) -> Iterator[list[T]]:
    """Pictures in their order, so many at a time that a bunch has at most 8 megapixels, or is a single picture."""
    bunch: list[T] = []
    total = 0
    for picture in pictures:
        own = pixels(picture)
        if bunch and total + own > _MOST_PIXELS:
            yield bunch
            bunch, total = [], 0
        bunch.append(picture)
        total += own
    if bunch:
        yield bunch
