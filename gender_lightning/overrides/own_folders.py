"""The user's own configuration folders, beside `conf/`: `--config-dir DIR` and `hydra.searchpath=[DIR]`.

Both become one override with absolute paths, which Hydra, the checks and the jobs of a sweep all understand.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from gender_lightning.errors import UserError

KEY = "hydra.searchpath"
_OPTIONS = ("--config-dir", "-cd")


def gathered(arguments: Sequence[str]) -> list[str]:
    """The arguments with all of the user's folders in a single `hydra.searchpath=[...]` at their end.

    Raises:
        UserError: A folder is missing or cannot be found.
    """
    rest: list[str] = []
    places: list[str] = []
    waiting = iter(arguments)
    for argument in waiting:
        name, equals, value = argument.partition("=")
        if name in _OPTIONS:
            place = value if equals else next(waiting, "")
            if not place:
                raise UserError(f"{name}: the folder is missing.", f"Write {name} DIR.")
            places.append(place)
        elif name.lstrip("+") == KEY:
            places += _listed(argument)
        else:
            rest.append(argument)
    return [*rest, override(_absolute(place) for place in places)] if places else rest


def override(places: Iterable[str]) -> str:
    """The override that names these places, in Hydra's grammar."""
    from gender_lightning.overrides.of_run import hydra_value

    return f"{KEY}={hydra_value(list(places))}"


def of_texts(texts: Iterable[str]) -> tuple[str, ...]:
    """The override that names the user's folders, if there is one; after `gathered` there is at most one."""
    return tuple(text for text in texts if text.startswith(f"{KEY}="))[:1]


def of_command() -> tuple[str, ...]:
    """The override that the running command was started with, if there was one."""
    from hydra.core.hydra_config import HydraConfig

    places = [str(place) for place in HydraConfig.get().searchpath]
    return (override(places),) if places else ()


def folders_of(texts: Iterable[str]) -> tuple[Path, ...]:
    """The folders behind `hydra.searchpath=[...]`, in their order."""
    return tuple(_folder(place) for text in of_texts(texts) for place in _listed(text))


def _listed(text: str) -> list[str]:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        value: Any = OverridesParser.create().parse_override(text).value()
    except (HydraException, ValueError):
        value = None
    places = [value] if isinstance(value, str) else value
    if not isinstance(places, list) or not all(isinstance(place, str) and place for place in places):
        raise UserError(f"{text}: it should be a list of folders.", f"Write {KEY}=[DIR].", field=KEY)
    return places


def _absolute(place: str) -> str:
    """The place in a form that Hydra understands in any working directory.

    Raises:
        UserError: There is no such folder.
    """
    if not _folder(place).is_dir():
        raise UserError(
            f"The configuration folder {place} does not exist.",
            "Name a folder that holds, for example, experiment/mine.yaml.",
        )
    return place if place.startswith("pkg://") else f"file://{_folder(place)}"


def _folder(place: str) -> Path:
    if place.startswith("pkg://"):
        try:
            found = importlib.util.find_spec(place.removeprefix("pkg://").replace("/", "."))
        except ImportError:
            found = None
        places = list(found.submodule_search_locations or []) if found else []
        return Path(places[0]) if places else Path(place)
    return Path(os.path.expanduser(place.removeprefix("file://"))).absolute()
