"""The grid of a sweep: all combinations of the values on its command line."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from gender_lightning.errors import UserError
from gender_lightning.overrides.composing import parser_of


def grid(arguments: Sequence[str]) -> list[tuple[str, ...]]:
    """All combinations of the values that the overrides name, the last one varying fastest.

    Args:
        arguments: The overrides; where two set the same field, the later one counts.

    Raises:
        UserError: An override is a continuous range (`interval(...)`), which only a search can sample.
    """
    choices: dict[str, list[str]] = {}
    for override in parser_of(arguments).parse_overrides(list(arguments)):
        key = override.get_key_element()
        if not override.is_sweep_override():
            choices[key] = [str(override.input_line)]
        elif override.is_discrete_sweep():
            choices[key] = [f"{key}={value}" for value in override.sweep_string_iterator()]
        else:
            remedy = f"List them: {override.key_or_group}=a,b,c."
            raise UserError(f"{override.input_line}: a grid needs single values.", remedy, field=key)
    return list(product(*choices.values()))
