"""Turn a composed mapping into a typed section, or into sentences that say what to mend."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
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
        raise UserErrors([_sentence(detail, values) for detail in error.errors()]) from None


def suggestion(word: str, known: Iterable[str]) -> str:
    """`Did you mean 'x'?`, or the list of what there is when nothing is close."""
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=3, cutoff=0.6)
    if close:
        return f"Did you mean {' or '.join(repr(match) for match in close)}?"
    return f"There is: {', '.join(known)}." if known else ""


def _sentence(detail: ErrorDetails, values: Mapping[str, Any]) -> str:
    """One sentence about one field, in the words of the command line (`trainer.devices=two`)."""
    path, parent = _config_path(detail["loc"], values)
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        return f"{path}: there is no such field. {suggestion(path.rpartition('.')[2], parent)}"
    if kind == "missing":
        return f"{path}: this field is missing."
    if kind == "value_error":
        message = str(context["error"])
        return f"{path}: {message}." if path else f"{message}."
    wanted = detail["msg"].replace("Input should be ", "")
    return f"{path}={_shown(detail['input'])}: it should be {wanted}."


def _config_path(location: tuple[int | str, ...], values: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The dotted path of an error within `values`, and the keys beside it.

    pydantic puts the tag of a union (`celeba`, `int`) into the path: what is no key of the values is left out,
    except at the very end, where an unknown or missing field is named.
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
        elif last and isinstance(node, Mapping) and isinstance(part, str):
            path = f"{path}.{part}" if path else part
    return path, beside


def _shown(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."
