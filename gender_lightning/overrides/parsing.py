"""One override of the command line, parsed: its field or group, and its values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gender_lightning.errors import UserError
from gender_lightning.overrides.fields import flat
from gender_lightning.verbs import COMMANDS


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


def parse(
    verb: str, text: str, multirun: bool, fields: dict[str, Any], parser: Any, problems: list[UserError]
) -> Override | None:
    """Parse one override. Returns None if its form is wrong, and adds the mistake to `problems`.

    Args:
        verb: The command.
        text: The override as typed.
        multirun: Whether several values are allowed.
        fields: The command's composed defaults.
        parser: The parser from `composing.parser_of`.
        problems: Receives the mistakes.
    """
    from hydra.errors import HydraException

    try:
        (parsed,) = parser.parse_overrides([text])
    except (HydraException, ValueError):  # ValueError: a number with thousands of digits
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
    # only once, since a shuffled sweep comes in another order each time
    values = tuple(parsed.sweep_string_iterator())
    texts = tuple(f"{parsed.get_key_element()}={value}" for value in values)
    return Override(parsed, texts, tuple(parser.parse_override(text).value() for text in texts))


def _sweep_problem(verb: str, key: str, text: str, fields: dict[str, Any]) -> UserError:
    required = fields.get(key) == "???" and "list" in str(COMMANDS[verb].schema.model_fields[key].annotation)
    if required or any(name == key and isinstance(default, list) for name, default in flat(fields)):
        return UserError(f"{text}: a list has brackets.", f"Write {key}=[{text.partition('=')[2]}].", field=key)
    if verb != "train":
        return UserError(f"{text}: `{verb}` takes one value.", "Give one.", field=key)
    return UserError(
        f"{text}: several values need a multirun.", f"Write `gender-lightning train -m {text}`.", field=key
    )


def _form_problem(text: str) -> UserError:
    key, equals, value = text.partition("=")
    if not equals:
        remedy = f"Write the value after an equals sign: {key}=..."
        return UserError(f"{text!r} is not of the form field=value.", remedy)
    if value.startswith("(") and value.endswith(")"):
        remedy = f"Write '{key}=[{value[1:-1]}]'."
        return UserError(f"{text}: a list has square brackets.", remedy, field=key)
    remedy = f"""Put it in quotes for Hydra, and in others around them for the shell: '{key}="{value}"'."""
    return UserError(f"{text}: Hydra cannot read this value.", remedy, field=key)
