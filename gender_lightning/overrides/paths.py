"""File names and recipes as people type them; Hydra's grammar accepts `é`, `&`, `#`, `=` or a blank only in quotes."""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path

from gender_lightning.overrides.of_run import hydra_value

PATHS = ("input", "checkpoint", "output", "reference", "face_model")
_RECIPES = ("recipe",)  # whose items are overrides themselves
_ITEM = re.compile(r"(?:[^,\[\]{}]|\[[^\[\]]*\]|\{[^{}]*\})+")  # up to a comma that is in no brackets
# Texts that Hydra reads without quotes.
_PLAIN = re.compile(r"[A-Za-z_./*?-][A-Za-z0-9_./*?:-]*", re.ASCII)
_WORDS = ("null", "true", "false", "nan", "inf", "-inf")
_QUOTES = ("'", '"')


def quoted(text: str) -> str:
    """An override with the file that it names in quotes, if Hydra needs them; any other override is not changed.

    In a list `[a b.jpg,c.jpg]` each name is quoted, unless a file has exactly this name. Several files without brackets
    are not changed, so that the check asks for the brackets. The overrides in a recipe are quoted likewise.
    """
    key, equals, value = text.partition("=")
    if key in _RECIPES and value.startswith("[") and value.endswith("]") and not _has_quotes(value):
        items = _ITEM.findall(value[1:-1])
        whole = ",".join(items) == value[1:-1]  # else brackets are deeper than this can see
        return f"{key}=[{','.join(hydra_value(item.strip()) for item in items)}]" if whole else text
    if key not in PATHS or not equals or value in ("", "null", "???"):
        return text
    if value.startswith("[") and value.endswith("]") and not os.path.lexists(value):
        return text if _has_quotes(value) else f"{key}=[{','.join(_quote(part) for part in value[1:-1].split(','))}]"
    if "," in value and not _is_there(value):
        return text
    return f"{key}={_quote(value)}"


def is_plain(text: str) -> bool:
    """Whether Hydra reads a text without quotes as this very text."""
    return _PLAIN.fullmatch(text) is not None and text.lower() not in _WORDS


def _quote(name: str) -> str:
    name = name.strip()
    if not name or is_plain(name) or (len(name) > 1 and name[0] in _QUOTES and name[0] == name[-1]):
        return name
    return hydra_value(name)


def _has_quotes(value: str) -> bool:
    return any(part.strip().startswith(_QUOTES) for part in value[1:-1].split(","))


def _is_there(value: str) -> bool:
    """Whether the value is a single file with a comma, a pattern, a new name, or quoted already."""
    return (
        value[0] in _QUOTES or os.path.lexists(os.path.expanduser(value)) or bool(glob.glob(os.path.expanduser(value)))
    )


def absolute(path: str) -> str:
    """A path that holds in any working directory; `~` is the home folder."""
    return str(Path(os.path.expanduser(path)).absolute())
