"""What a caller of a `Predictor` gives: one picture or several, one after the other; what is neither is refused."""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable, Iterator, Mapping, Set
from itertools import islice
from typing import Any, Literal, get_args

import numpy as np
from PIL import Image
from torch import Tensor

from gender_lightning.errors import UserError
from gender_lightning.inference.pictures import Opened, Picture, no_picture, open_picture

OnError = Literal["raise", "skip"]


def is_one(images: object) -> bool:
    """Whether it stands for a single picture, which may be none that can be read."""
    if isinstance(images, np.ndarray) and images.ndim == 1 and images.dtype.kind in "OU":  # paths
        return False
    if isinstance(images, np.ndarray | Tensor):
        return images.ndim != 4
    return isinstance(images, str | os.PathLike | bytes | bytearray | memoryview | Image.Image) or hasattr(
        images, "read"
    )


def batches(images: Picture | Iterable[Picture], size: int) -> Iterator[list[Picture]]:
    """So many pictures at a time; a generator is asked for no more than that ahead.

    Raises:
        UserError: It is neither a picture nor a series of them, or has no order; there is no such size.
    """
    size = _checked(size)
    if is_one(images):
        pictures: Iterator[Any] = iter([images])
    elif isinstance(images, Mapping | Set):
        raise UserError(
            f"Got a {type(images).__name__}, whose pictures have no order that results could follow.",
            "Give a list: list(images), or list(images.values()) of a dictionary.",
        )
    elif isinstance(images, Iterable):
        pictures = iter(images)
    else:
        raise no_picture(images)
    while batch := list(islice(pictures, size)):
        yield batch


def open_or_say(picture: Picture, place: str, on_error: OnError) -> Opened | str:
    """A picture in memory, or, where errors are skipped, a sentence why there is none.

    Args:
        picture: Of any kind.
        place: Names a picture without a name of its own in a message, such as ``images[3]``; may be empty.
        on_error: ``raise`` or ``skip``.

    Raises:
        UserError: It cannot be read, and errors are raised.
    """
    try:
        return open_picture(picture)
    except MemoryError:
        if on_error == "raise":
            raise
        return "not enough memory"
    except UserError as error:
        if on_error == "skip":
            return str(error)
        if not place or isinstance(picture, str | os.PathLike):
            raise
        raise UserError(f"{place}: {error.problem}", error.remedy) from error


def checked_on_error(on_error: str) -> OnError:
    """``raise`` or ``skip``.

    Raises:
        UserError: It is neither.
    """
    if on_error not in get_args(OnError):
        raise UserError(f"on_error={on_error!r}: there is no such choice.", 'Use "raise" or "skip".', field="on_error")
    return on_error  # type: ignore[return-value]


def _checked(batch_size: int) -> int:
    try:
        size = operator.index(batch_size)
    except TypeError:
        size = 0
    if size < 1 or isinstance(batch_size, bool):
        raise UserError(
            f"batch_size={batch_size!r}: that many pictures cannot go through the network at once.",
            "Give a whole number from 1 on.",
            field="batch_size",
        )
    return size
