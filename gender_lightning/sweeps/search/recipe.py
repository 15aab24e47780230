"""The best trial of a search as a command line, and as an experiment that composes to the same configuration."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import QuotedString

from gender_lightning.runs import to_yaml


def command_line(overrides: Sequence[str]) -> str:
    """One line to copy into a shell."""
    return shlex.join(["gender-lightning", "train", *overrides])


def experiment(overrides: Sequence[str], groups: Collection[str], *, note: str) -> str:
    """The text of a file for `conf/experiment/`.

    Args:
        overrides: Choices of groups, fields, and at most one experiment to start from.
        groups: The names of all groups.
        note: A comment for its first line.
    """
    defaults: list[Any] = []
    fields: dict[str, Any] = {}
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        key = override.key_or_group
        if key == "experiment":
            defaults.insert(0, _plain(override.value()))
        elif key in groups:
            defaults.append({f"override /{key}": _plain(override.value())})
        elif not override.is_delete() and not key.startswith("hydra."):
            _put(fields, key.split("."), _plain(override.value()))
    bases = [entry for entry in defaults if isinstance(entry, str)]
    choices = [entry for entry in defaults if not isinstance(entry, str)]
    head = {"defaults": [*bases, "_self_", *choices]} if defaults else {}
    return f"# @package _global_\n# {note}\n{to_yaml({**head, **fields})}"


def _put(node: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for part in path[:-1]:
        node = node.setdefault(part, {})
    node[path[-1]] = value


def _plain(value: Any) -> Any:
    if isinstance(value, QuotedString):
        return value.text
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(_plain(key)): _plain(item) for key, item in value.items()}
    return value
