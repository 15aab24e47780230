"""What each field of a checkpoint's description may be, since the file may come from somebody else."""

from __future__ import annotations

import math
from typing import Any, get_args

from torch import Tensor

from gender_lightning.data.framing import Crop, Interpolation

_MOST = 1e9
_MOST_PIXELS = 2048  # largest side, the same limit as in the configuration


def shown(value: object) -> str:
    """The value in at most 60 characters, for a message."""
    try:
        text = type(value).__name__ if isinstance(value, Tensor) else repr(value)
    except ValueError:  # a whole number with thousands of digits
        text = "a huge number"
    return text if len(text) <= 60 else text[:57] + "..."


def _number(low: float, high: float, *, above: bool = False) -> Any:
    def check(value: object) -> bool:
        # compared with a limit, since isfinite does not accept whole numbers beyond a float's range
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _MOST:
            return False
        return (low < value if above else low <= value) and value <= high

    return check


def _several(kind: Any, n: int) -> Any:
    return lambda value: isinstance(value, list | tuple) and len(value) == n and all(kind(item) for item in value)


def _text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 200 and value.isprintable()


def _plain(value: object, depth: int = 0) -> bool:
    """Whether an argument is a scalar, or a short list or dictionary of them."""
    if isinstance(value, list | tuple | dict):
        items = [*value, *value.values()] if isinstance(value, dict) else value
        return len(items) <= 200 and depth < 4 and all(_plain(item, depth + 1) for item in items)
    return value is None or _scalar(value)


def _scalar(value: object) -> bool:
    return isinstance(value, bool) or _number(-_MOST, _MOST)(value) or value == "" or _text(value)


def _placement(value: object) -> bool:
    """Whether these are a height, a width and two eyes within them, at least a pixel apart."""
    if value is None:
        return True
    if not _several(_number(0, _MOST_PIXELS), 6)(value):
        return False
    assert isinstance(value, list | tuple)
    height, width, left_x, left_y, right_x, right_y = value
    inside = max(left_y, right_y) <= height and max(left_x, right_x) <= width
    return inside and isinstance(height, int) and isinstance(width, int) and min(height, width, right_x - left_x) >= 1


CHECKS: dict[str, Any] = {
    "backbone": _text,
    "image_size": lambda value: isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MOST_PIXELS,
    "dropout": _number(0, 1),
    "arguments": lambda value: isinstance(value, dict) and all(map(_text, value)) and _plain(value),
    "crop": lambda value: isinstance(value, str) and value in get_args(Crop),
    "zoom": _number(0, 1, above=True),
    "interpolation": lambda value: isinstance(value, str) and value in get_args(Interpolation),
    "placement": _placement,
    "mean": _several(_number(-math.inf, math.inf), 3),
    "std": _several(_number(0, math.inf, above=True), 3),
    "test_time_flip": lambda value: isinstance(value, bool),
    "test_time_zooms": lambda value: (
        isinstance(value, list | tuple) and 0 < len(value) <= 8 and all(map(_number(1, 4), value))
    ),
    "class_names": _several(_text, 2),
    "threshold": _number(0, 1),
    "threshold_rule": lambda value: value == "" or _text(value),
    "temperature": _number(0, math.inf, above=True),
    "packages": lambda value: isinstance(value, list | tuple) and len(value) <= 50 and all(map(_text, value)),
    "package_version": _text,
}
