"""The pictures that a caller passes to a `Predictor`: one, or several in order; anything else is refused."""

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
from gender_lightning.inference.faces.reduced import Reduction
from gender_lightning.inference.pictures import Opened, Picture, no_picture, open_picture

OnError = Literal["raise", "skip"]


def is_one(images: object) -> bool:
    """Whether the argument stands for a single picture, readable or not."""
    if isinstance(images, np.ndarray) and images.ndim == 1 and images.dtype.kind in "OU":  # paths
        return False
    if isinstance(images, np.ndarray | Tensor):
        return images.ndim != 4
    return isinstance(images, str | os.PathLike | bytes | bytearray | memoryview | Image.Image) or hasattr(
        images, "read"
    )


def batches(images: Picture | Iterable[Picture], size: int) -> Iterator[list[Picture]]:
    """Pictures in batches of `size`; a generator is never read further ahead than one batch.

    Raises:
        UserError: `images` is neither a picture nor an ordered series of pictures, or `size` is not a positive integer.
    """
    size = _checked(size)
    if is_one(images):
        pictures: Iterator[Any] = iter([images])
    elif isinstance(images, Mapping | Set):
        raise UserError(
            f"Got a {type(images).__name__}, whose pictures have no order for the results to follow.",
            "Give a list: list(images), or list(images.values()) for a dictionary.",
        )
    elif isinstance(images, Iterable):
        pictures = iter(images)
    else:
        raise no_picture(images)
    while batch := list(islice(pictures, size)):
        yield batch


def open_or_say(picture: Picture, place: str, on_error: OnError, reduction: Reduction | None = None) -> Opened | str:
    """A picture in memory or, if errors are skipped, a sentence that says why it cannot be read.

    Args:
        picture: A picture of any kind that `open_picture` takes.
        place: Names a picture that has no file name in a message, such as ``images[3]``; may be empty.
        on_error: ``raise`` or ``skip``.
        reduction: See `open_picture`.

    Raises:
        UserError: The picture cannot be read, and `on_error` is ``raise``.
    """
    try:
        return open_picture(picture, reduction=reduction)
    except MemoryError:
        if on_error == "raise":
            raise
        return "not enough memory"
    except UserError as error:
        if on_error == "skip":
            return error.problem  # what to type next is of no use to whoever asked over HTTP
        if not place or isinstance(picture, str | os.PathLike):
            raise
        raise UserError(f"{place}: {error.problem}", error.remedy) from error


def checked_on_error(on_error: str) -> OnError:
    """``raise`` or ``skip``.

    Raises:
        UserError: It is neither.
    """
    if on_error not in get_args(OnError):
        raise UserError(f"on_error={on_error!r} is not a choice.", 'Use "raise" or "skip".', field="on_error")
    return on_error  # type: ignore[return-value]


def _checked(batch_size: int) -> int:
    try:
        size = operator.index(batch_size)
    except TypeError:
        size = 0
    if size < 1 or isinstance(batch_size, bool):
        raise UserError(
            f"batch_size={batch_size!r} is not a number of pictures.",
            "Give a whole number of at least 1.",
            field="batch_size",
        )
    return size
