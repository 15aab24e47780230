"""The defaults that `conf/` composes to, read from its files without Hydra, whose start would take most of the time.

It understands only the features that the defaults lists of `conf/` use; a test compares the result with Hydra's for
every command.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gender_lightning.config.location import choices_in, conf_dir

Values = dict[str, Any]


def composed(verb: str) -> tuple[Values, dict[str, list[str]]]:
    """The composition of `conf/<verb>.yaml` without overrides, with interpolations unresolved, and its menu.

    Returns:
        The values, and the choices of each group that the command uses.
    """
    content = _read(conf_dir() / f"{verb}.yaml")
    values: Values = {}
    menu: dict[str, list[str]] = {}
    used = set()
    for entry in content.pop("defaults"):
        if isinstance(entry, str) and not entry.startswith("_"):  # another command, whose fields this one has too
            values, menu = composed(entry)
        for group, choice in entry.items() if isinstance(entry, dict) else ():
            used.add(group)
            if choice is not None and not group.startswith("override "):
                values[group] = choice_values(group, choice)
    menu |= {group: names for group, names in choices_in([conf_dir()]).items() if group.partition("/")[0] in used}
    return _merged(values, content), menu


def choice_values(group: str, choice: str) -> Values:
    """The composition of `conf/<group>/<choice>.yaml` with the files beside it that it starts from."""
    content = _read(conf_dir() / group / f"{choice}.yaml")
    values: Values = {}
    for entry in content.pop("defaults", []):
        if isinstance(entry, str) and entry != "_self_":
            values = _merged(values, choice_values(group, entry))
        elif isinstance(entry, dict):
            for inner, name in entry.items():
                if not inner.startswith("override "):
                    values[inner] = choice_values(f"{group}/{inner}", name)
    return _merged(values, content)


def shown(value: Any) -> str:
    """A default as a person would type it; an interpolation is put into words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {shown(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(shown(item) for item in value) + "]"
    return "".join(_in_words(str(value)))


def _in_words(text: str) -> Iterator[str]:
    text = re.sub(r"\$\{now:[^}]*\}", "<date>_<time>", text)
    text = re.sub(r"\$\{(?:times|side):([^,]*),\$\{([\w.]*)\}\}", r"\1*\2", text)
    yield re.sub(r"\$\{([\w.]*)\}", r"<\1>", text)


def _merged(below: Values, above: Values) -> Values:
    merged = dict(below)
    for key, value in above.items():
        beneath = merged.get(key)
        merged[key] = _merged(beneath, value) if isinstance(beneath, dict) and isinstance(value, dict) else value
    return merged


def _read(path: Path) -> Values:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    content = yaml.load(path.read_text(), Loader=loader)
    return content or {}
