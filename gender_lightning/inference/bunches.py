"""Pictures that are looked at together: as many as pay, and as memory allows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
MOST_PIXELS = 8_000_000  # 24 MB as RGB


def bunches(pictures: Iterable[T], pixels: Callable[[T], int], most: int = MOST_PIXELS) -> Iterator[list[T]]:
    """Yield the pictures in their order, several at a time.

    Args:
        pictures: The pictures, or anything that stands for them.
        pixels: The number of pixels of one of them.
        most: Largest number of pixels of a bunch; a picture that has more is alone.
    """
    bunch: list[T] = []
    total = 0
    for picture in pictures:
        own = pixels(picture)
        if bunch and total + own > most:
            yield bunch
            bunch, total = [], 0
        bunch.append(picture)
        total += own
    if bunch:
        yield bunch
