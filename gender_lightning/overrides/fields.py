"""Dotted names of fields: which exist, which one was meant, and which contain others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gender_lightning.config.validation import close_to


def is_known(key: str, values: Mapping[str, Any]) -> bool:
    """Whether a dotted key is in the composed config."""
    node: Any = values
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return False
        node = node[part]
    return True


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every field with its dotted name, sections before their fields."""
    for key, value in values.items():
        yield f"{prefix}{key}", value
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")


def nearest(key: str, values: Mapping[str, Any], groups: Sequence[str]) -> str:
    """`Did you mean ...?` for a key that does not exist: a field beside it, of the same name elsewhere, or similar."""
    names = [name for name, _ in flat(values)]
    beside = _beside(key, names)
    found = alike_beside(key, values)
    if not found:
        last = key.rpartition(".")[2]
        found = [name for name in names if name.rpartition(".")[2] == last] or close_to(key, [*names, *groups])
    if found:
        return f"Did you mean {' or '.join(repr(name) for name in found[:3])}?"
    offered = beside or sorted({name for name in names if "." not in name} | set(groups))
    return f"Choose one of: {', '.join(offered)}."


def alike_beside(key: str, values: Mapping[str, Any]) -> list[str]:
    """The fields of a key's own section with similar names."""
    beside = _beside(key, [name for name, _ in flat(values)])
    like = close_to(key.rpartition(".")[2], [name.rpartition(".")[2] for name in beside])
    return [name for name in beside if name.rpartition(".")[2] in like]


def _beside(key: str, names: Sequence[str]) -> list[str]:
    section = key.rpartition(".")[0]
    return [name for name in names if name.rpartition(".")[0] == section]


def extends(path: str, key: str) -> bool:
    """Whether the two names are the same, or one names a part of the other."""
    return bool(key) and (f"{path}.".startswith(f"{key}.") or f"{key}.".startswith(f"{path}."))
