"""All combinations of the values that a command line names."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from gender_lightning.errors import UserError
from gender_lightning.overrides.composing import parser_of


def grid(arguments: Sequence[str]) -> list[tuple[str, ...]]:
    """All combinations of the values that the overrides name, the last one varying fastest.

    Args:
        arguments: Overrides; of two for one field the later counts.

    Raises:
        UserError: an override is a range without end (`interval(...)`), which is for a search.
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
            raise UserError(f"{override.input_line}: a grid needs single values. {remedy}")
    return list(product(*choices.values()))
