"""Turn a composed mapping into a typed section, or into sentences that say what to change."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gender_lightning.config.base import Contradictions
from gender_lightning.errors import UserError, UserErrors

Model = TypeVar("Model", bound=BaseModel)
# What a value should be, by pydantic's type of the error, with the placeholders of its context.
_SHOULD = {
    "int_type": "be a valid integer",
    "int_from_float": "be a valid integer",
    "float_type": "be a valid number",
    "bool_type": "be a valid boolean",
    "string_type": "be a valid string",
    "list_type": "be a valid list",
    "dict_type": "be a valid dictionary",
    "model_type": "be a valid dictionary",
    "finite_number": "be a finite number",
    "literal_error": "be {expected}",
    "greater_than": "be greater than {gt}",
    "greater_than_equal": "be greater than or equal to {ge}",
    "less_than": "be less than {lt}",
    "less_than_equal": "be less than or equal to {le}",
    "string_too_short": "have at least {min_length} character(s)",
    "too_short": "have at least {min_length} item(s), not {actual_length}",
    "too_long": "have at most {max_length} item(s), not {actual_length}",
}


class UnknownField(UserError):
    """A field that does not exist."""


@dataclass
class _Wanted:
    """A wrong value with the kinds it may be; a union has several."""

    value: Any
    kinds: list[str] = field(default_factory=list)


def parse_config(schema: type[Model], values: Mapping[str, Any]) -> Model:
    """Validate `values` against `schema`.

    Raises:
        UserErrors: One mistake per wrong field, which it names.
    """
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        raise UserErrors(_mistakes(error.errors(), values)) from None


def suggestion(word: str, known: Iterable[str]) -> str:
    """`Did you mean 'x'?`, or the list of all names if none is close."""
    known = sorted(set(known))
    if close := close_to(word, known):
        return f"Did you mean {' or '.join(repr(match) for match in close)}?"
    return f"Choose one of: {', '.join(known)}." if known else ""


def close_to(word: str, known: Iterable[str]) -> list[str]:
    """The names most similar to `word`, best first: those about as close as the closest, at most three."""
    found = difflib.get_close_matches(word, sorted(set(known)), n=3, cutoff=0.6)
    ratios = [difflib.SequenceMatcher(None, match, word).ratio() for match in found]
    return [match for match, ratio in zip(found, ratios, strict=True) if ratio > ratios[0] - 0.1]


def _mistakes(details: Sequence[ErrorDetails], values: Mapping[str, Any]) -> list[UserError]:
    """One sentence per field, in the words of the command line (`trainer.devices=two`)."""
    mistakes: list[UserError] = []
    wanted: dict[str, _Wanted] = {}
    for detail in details:
        path, beside = _config_path(detail["loc"], values, named=detail["type"] in ("extra_forbidden", "missing"))
        if (said := _structural(detail, path, beside)) is not None:
            mistakes += said
            continue
        kind, context = detail["type"], _plain_numbers(detail.get("ctx", {}))
        # in our own words if we have some, since pydantic's are a sentence about its input
        should = _SHOULD[kind].format(**context) if kind in _SHOULD else f"satisfy: {detail['msg']}"
        wanted.setdefault(path, _Wanted(detail["input"])).kinds.append(_plural(should, context))
    return mistakes + [_wrong_value(path, kinds) for path, kinds in wanted.items()]


def _structural(detail: ErrorDetails, path: str, beside: list[str]) -> list[UserError] | None:
    """The mistakes of an error that is not about the type or range of a single value; None for such an error."""
    kind, context, field = detail["type"], detail.get("ctx", {}), field_of(path)
    if kind == "extra_forbidden":
        hint = suggestion(path.rpartition(".")[2], beside)
        return [UnknownField(f"{path}: there is no such field.", hint, field=field)]
    if kind == "missing":
        return [UserError(f"{path}: this field is missing.", f"Give {path}=...", field=field)]
    if kind == "union_tag_not_found":
        return [UserError(f"{path}.name: this field is missing.", f"Choose by {path}=...", field=field)]
    if kind == "union_tag_invalid":
        offer = f"{path}.name={_shown(context['tag'])}: it should be one of {context['expected_tags']}."
        return [UserError(offer, f"Choose by {path}=... instead.", field=f"{field}.name")]
    if kind == "value_error":
        where = path if isinstance(detail["input"], Mapping) else f"{path}={_shown(detail['input'])}"
        error = context["error"]
        problems = error.problems if isinstance(error, Contradictions) else ((str(error), ""),)
        return [
            UserError(f"{where}: {short(problem)}." if path else f"{short(problem)}.", short(remedy), field=field)
            for problem, remedy in problems
        ]
    return None


def _wrong_value(path: str, wanted: _Wanted) -> UserError:
    first, *others = dict.fromkeys(wanted.kinds)
    kinds = " or ".join([first, *(kind.removeprefix("be ") for kind in others)])
    shown, remedy = _shown(wanted.value), ""
    if wanted.kinds == [_SHOULD["string_type"]] and isinstance(wanted.value, int | float):
        remedy = f"""Put it in quotes, with others around them for the shell: '{path}="{shown}"'."""
    return UserError(f"{path}={shown}: it should {kinds}.", remedy, field=field_of(path))


def _plain_numbers(context: Mapping[str, Any]) -> dict[str, Any]:
    """Bounds as people write them: 0 rather than 0.0."""
    return {
        name: int(value) if isinstance(value, float) and value.is_integer() else value
        for name, value in context.items()
    }


def _plural(text: str, context: Mapping[str, Any]) -> str:
    number = context.get("min_length", context.get("max_length"))
    return text.replace("(s)", "" if number == 1 else "s")


def field_of(path: str) -> str | None:
    """The field that contains a place in the configuration: for `a.b[0].c` it is `a.b`."""
    return path.partition("[")[0] or None


def _config_path(location: tuple[int | str, ...], values: Mapping[str, Any], *, named: bool) -> tuple[str, list[str]]:
    """The dotted path of an error within `values`, and the keys beside it.

    pydantic puts the tag of a union (`celeba`, `int`) into the path. Parts that are not keys of the values are left
    out, except the last part of an error about an unknown or missing field, which is `named` there.
    """
    node: Any = values
    path = ""
    beside: list[str] = []
    for position, part in enumerate(location):
        last = position == len(location) - 1
        if isinstance(node, Mapping) and part in node:
            beside = [str(key) for key in node if key != part]
            node = node[part]
            path = f"{path}.{part}" if path else str(part)
        elif isinstance(node, list) and isinstance(part, int) and part < len(node):
            node = node[part]
            path = f"{path}[{part}]"
        elif last and named and isinstance(part, str):
            path = f"{path}.{part}" if path else part
    return path, beside


def short(line: str) -> str:
    """A sentence, shortened in the middle if it is long, since it may quote a text of any length."""
    return line if len(line) <= 400 else f"{line[:200]} ... {line[-190:]}"


def _shown(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    # an integer with thousands of digits cannot be converted; unprintable characters could control the terminal
    text = "a huge number" if isinstance(value, int) and abs(value) > 10**300 else str(value)
    text = "".join(letter if letter.isprintable() else "?" for letter in text[:61])
    return text if len(text) <= 60 else text[:57] + "..."
