"""The best of a search as what one can type, and as an experiment that composes to the same."""

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
    for it in OverridesParser.create().parse_overrides(list(overrides)):
        if it.key_or_group == "experiment":
            defaults.insert(0, _plain(it.value()))
        elif it.key_or_group in groups:
            defaults.append({f"override /{it.key_or_group}": _plain(it.value())})
        elif not it.is_delete() and not it.key_or_group.startswith("hydra."):
            _put(fields, it.key_or_group.split("."), _plain(it.value()))
    bases = [it for it in defaults if isinstance(it, str)]
    choices = [it for it in defaults if not isinstance(it, str)]
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
