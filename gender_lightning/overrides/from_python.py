"""Values given in Python, as the overrides that a command line would have."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from gender_lightning.errors import UserError
from gender_lightning.overrides.of_run import hydra_value
from gender_lightning.overrides.paths import is_plain


def texts_of(overrides: tuple[str | Mapping[str, Any], ...], fields: Mapping[str, Any]) -> list[str]:
    """The overrides of a call.

    Args:
        overrides: Texts as typed on the command line (`"model=resnet18"`), and mappings from fields to values
            (`{"optimizer.lr": 3e-4}`).
        fields: Fields and groups by keyword; a mapping as the value of a section sets fields of that section.

    Returns:
        One text per field, in the order given, the keywords last.

    Raises:
        UserError: An override is neither a text nor a mapping.

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
                f"{given!r:.60} is neither a text nor a mapping of fields.",
                'Write "model=resnet18" or {"model": "resnet18"}.',
            )
    return texts


def _texts(name: str, value: Any) -> Iterator[str]:
    plain = _plain(value)
    if isinstance(plain, dict) and "." not in name:  # a section: what is not named in the mapping stays as it is
        for key, inner in plain.items():
            yield f"{name}.{key}={_written(inner)}"
    else:
        yield f"{name}={_written(plain)}"


def _written(value: Any) -> str:
    return value if isinstance(value, str) and is_plain(value) else hydra_value(value)


def _plain(value: Any) -> Any:
    """Paths (runs among them) as texts, also inside of lists and mappings; NumPy's numbers as Python's."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.item() if hasattr(value, "item") and hasattr(value, "dtype") else value
