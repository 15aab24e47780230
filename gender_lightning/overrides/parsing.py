"""One override of the command line, parsed: its field or group, and its values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gender_lightning.overrides.fields import flat
from gender_lightning.overrides.schema import ROOTS


@dataclass(frozen=True)
class Override:
    """One override of the command line with its values, several of them in a sweep."""

    parsed: Any  # hydra's Override
    texts: tuple[str, ...]  # `key=value`, one per value
    values: tuple[Any, ...]

    @property
    def key(self) -> str:
        """The dotted field, or the group."""
        return str(self.parsed.key_or_group)

    @property
    def adds(self) -> bool:
        """Whether it is written with a +."""
        return bool(self.parsed.is_add() or self.parsed.is_force_add())


def parse(verb: str, text: str, multirun: bool, fields: dict[str, Any], problems: list[str]) -> Override | None:
    """Parse one override; what is wrong with its form goes into `problems`."""
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    try:
        (parsed,) = parser.parse_overrides([text])
    except (HydraException, ValueError):  # ValueError: a number of thousands of digits
        problems.append(_form_problem(text))
        return None
    if not parsed.key_or_group:
        problems.append(_form_problem(text))
        return None
    key = parsed.key_or_group
    if not parsed.is_sweep_override():
        return Override(parsed, (text,), (parsed.value(),))
    if not multirun:
        problems.append(_sweep_problem(verb, key, text, fields))
        return None
    if not parsed.is_discrete_sweep():
        interval: Any = parsed.value()
        ends = (interval.start, interval.end)
        return Override(parsed, tuple(f"{parsed.get_key_element()}={end}" for end in ends), ends)
    # Once only: a shuffled sweep comes in another order each time.
    values = tuple(parsed.sweep_string_iterator())
    texts = tuple(f"{parsed.get_key_element()}={value}" for value in values)
    return Override(parsed, texts, tuple(parser.parse_override(text).value() for text in texts))


def _sweep_problem(verb: str, key: str, text: str, fields: dict[str, Any]) -> str:
    required = fields.get(key) == "???" and "list" in str(ROOTS[verb].model_fields[key].annotation)
    if required or any(name == key and isinstance(default, list) for name, default in flat(fields)):
        return f"{text}: a list has brackets. Write {key}=[{text.partition('=')[2]}]."
    if verb != "train":
        return f"{text}: `{verb}` takes one value. Give one."
    return f"{text}: several values need a multirun: write `gender-lightning train -m {text}`."


def _form_problem(text: str) -> str:
    key, equals, value = text.partition("=")
    if not equals:
        return f"{text!r} is not of the form field=value. Write the value behind an equals sign: {key}=..."
    return f"""{text}: this value needs quotes, for Hydra and around them for the shell: '{key}="{value}"'."""
