"""Turn a composed mapping into a typed section, or into sentences that say what to mend."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gender_lightning.errors import UserErrors

Model = TypeVar("Model", bound=BaseModel)


def parse_config(schema: type[Model], values: Mapping[str, Any]) -> Model:
    """Validate `values` against `schema`.

    Raises:
        UserErrors: with one message per mistake.
    """
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        raise UserErrors(_messages(error.errors(), values)) from None


def suggestion(word: str, known: Iterable[str]) -> str:
    """`Did you mean 'x'?`, or the list of what there is when nothing is close."""
    known = sorted(set(known))
    if close := close_to(word, known):
        return f"Did you mean {' or '.join(repr(match) for match in close)}?"
    return f"There is: {', '.join(known)}." if known else ""


def close_to(word: str, known: Iterable[str]) -> list[str]:
    """The names most like `word`, best first: those about as close as the closest, three at most."""
    found = difflib.get_close_matches(word, sorted(set(known)), n=3, cutoff=0.6)
    ratios = [difflib.SequenceMatcher(None, match, word).ratio() for match in found]
    return [match for match, ratio in zip(found, ratios, strict=True) if ratio > ratios[0] - 0.1]


def _messages(details: Sequence[ErrorDetails], values: Mapping[str, Any]) -> list[str]:
    """One sentence per field, in the words of the command line (`trainer.devices=two`)."""
    messages: list[str] = []
    wanted: dict[str, list[str]] = {}  # of a value with a wrong type or range; a union names each of its members
    for detail in details:
        path, beside = _config_path(detail["loc"], values, named=detail["type"] in ("extra_forbidden", "missing"))
        if (said := _sentence(detail, path, beside)) is not None:
            messages += said
            continue
        start = f"{path}={_shown(detail['input'])}: it should "
        kinds = wanted.setdefault(start, [])
        kind = re.sub(r"^\w+ should ", "", detail["msg"])
        kinds.append(kind.removeprefix("be ") if kinds else kind)
    return messages + [f"{start}{' or '.join(dict.fromkeys(kinds))}." for start, kinds in wanted.items()]


def _sentence(detail: ErrorDetails, path: str, beside: list[str]) -> list[str] | None:
    """What there is to say about anything but the type or range of a single value."""
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        return [f"{path}: there is no such field. {suggestion(path.rpartition('.')[2], beside)}"]
    if kind == "missing":
        return [f"{path}: this field is missing. Give {path}=..."]
    if kind == "union_tag_invalid":
        offer = f"it should be one of {context['expected_tags']}"
        return [f"{path}.name={_shown(context['tag'])}: {offer}. Choose by {path}=... instead."]
    if kind == "value_error":
        where = path if isinstance(detail["input"], Mapping) else f"{path}={_shown(detail['input'])}"
        lines = [short(line) for line in str(context["error"]).splitlines()]
        return [f"{where}: {line}." if path else f"{line}." for line in lines]
    return None


def _config_path(location: tuple[int | str, ...], values: Mapping[str, Any], *, named: bool) -> tuple[str, list[str]]:
    """The dotted path of an error within `values`, and the keys beside it.

    pydantic puts the tag of a union (`celeba`, `int`) into the path: what is no key of the values is left out,
    except at the very end of an error about an unknown or missing field, which is `named` there.
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
    """A sentence of a validator, which may quote a text of any length."""
    return line if len(line) <= 400 else f"{line[:200]} ... {line[-190:]}"


def _shown(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    # a whole number with thousands of digits has no text; what does not print could steer the terminal
    text = "a huge number" if isinstance(value, int) and abs(value) > 10**300 else str(value)
    text = "".join(letter if letter.isprintable() else "?" for letter in text[:61])
    return text if len(text) <= 60 else text[:57] + "..."
