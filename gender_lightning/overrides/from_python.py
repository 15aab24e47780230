"""Conversion of values given in Python to the overrides of a command line."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from gender_lightning.errors import UserError
from gender_lightning.overrides.of_run import hydra_value
from gender_lightning.overrides.paths import is_plain


def texts_of(overrides: tuple[str | Mapping[str, Any], ...], fields: Mapping[str, Any]) -> list[str]:
    """Convert the arguments of a call to overrides.

    Args:
        overrides: Strings as typed on the command line (`"model=resnet18"`), and mappings from fields to values
            (`{"optimizer.lr": 3e-4}`).
        fields: Fields and groups by keyword; a mapping as the value of a section sets fields of that section.

    Returns:
        One string per field, in the given order, the keywords last.

    Raises:
        UserError: An override is neither a string nor a mapping.

    Example:
        >>> texts_of(("model=resnet18", {"optimizer.lr": 3e-4}), {"data": {"root": "faces", "limit": None}})
        ['model=resnet18', 'optimizer.lr=0.0003', 'data.root=faces', 'data.limit=null']
    """
    texts: list[str] = []
    for given in (*overrides, fields):
        if isinstance(given, str):
            texts.append(given)
        elif isinstance(given, Mapping):
            texts += [text for name, value in given.items() for text in _texts(str(name), value)]
        else:
            raise UserError(
                f"{given!r:.60} is neither a string nor a mapping of fields.",
                'Write "model=resnet18" or {"model": "resnet18"}.',
            )
    return texts


def _texts(name: str, value: Any) -> Iterator[str]:
    plain = _plain(value)
    if isinstance(plain, dict) and "." not in name:  # a section, whose other fields keep their values
        for key, inner in plain.items():
            yield f"{name}.{key}={_written(inner)}"
    else:
        yield f"{name}={_written(plain)}"


def _written(value: Any) -> str:
    return value if isinstance(value, str) and is_plain(value) else hydra_value(value)


def _plain(value: Any) -> Any:
    """Convert paths (including runs) to strings, also inside lists and mappings, and NumPy numbers to Python's."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.item() if hasattr(value, "item") and hasattr(value, "dtype") else value
