"""A schema's fields as rows of a help: name, kind and range, description."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from gender_lightning.config.base import Section

_NAMES = {bool: "true or false", int: "whole number", float: "number", str: "text", type(None): "null", Any: "anything"}
_NO_LIMIT = 10**9  # a bound of this size is not shown


@dataclass(frozen=True)
class FieldRow:
    """One field: its dotted name, the values it takes, its description, and the schema's default if there is one."""

    name: str
    kind: str
    description: str
    default: Any = None


def rows(schema: type[Section], prefix: str = "") -> Iterator[FieldRow]:
    """The fields of a section and of the sections in it, in their order."""
    for name, field in schema.model_fields.items():
        path = f"{prefix}{field.alias or name}"
        inner = section_of(field.annotation)
        if inner is not None and type(None) not in _alternatives(field.annotation):
            yield from rows(inner, f"{path}.")
        elif not members_of(field):
            default = None if field.is_required() else field.default
            yield FieldRow(path, kind_of(field.annotation, field), field.description or "", default)


def section_of(annotation: Any) -> type[Section] | None:
    """The section that a field holds, or may hold; None for a single value or a choice of several sections."""
    sections = [kind for kind in _alternatives(annotation) if isinstance(kind, type) and issubclass(kind, Section)]
    return sections[0] if len(sections) == 1 else None


def members_of(field: FieldInfo) -> dict[str, type[Section]]:
    """The sections that a field may hold, by their `name`; empty if the field is not such a choice."""
    kinds = _alternatives(field.annotation)
    sections = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Section)]
    if len(sections) < 2:
        return {}
    return {get_args(section.model_fields["name"].annotation)[0]: section for section in sections}


def kind_of(annotation: Any, *bounds: Any) -> str:
    """The values that an annotation admits, in words: `whole number, 16 to 2048`."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return kind_of(arguments[0], *bounds, *arguments[1:])
    if origin in (Union, types.UnionType):
        return _joined([kind_of(argument, *bounds) for argument in arguments])
    if origin is Literal:
        return " | ".join(str(argument) for argument in arguments)
    if origin is list:
        return f"list of {kind_of(arguments[0])}"
    if origin is dict:
        return "mapping"
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return "{" + ", ".join(annotation.model_fields) + "}"
    name = _NAMES.get(annotation, str(annotation))
    return name + _range(bounds) if annotation in (int, float) else name


def _alternatives(annotation: Any) -> list[Any]:
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return list(get_args(annotation)) if get_origin(annotation) in (Union, types.UnionType) else [annotation]


def _joined(kinds: list[str]) -> str:
    """Alternatives of a union; a bar between single words, as for the choices of a Literal."""
    return " | ".join(dict.fromkeys(kinds))


def _range(bounds: tuple[Any, ...]) -> str:
    found: dict[str, Any] = {}
    for bound in bounds:
        for item in bound.metadata if isinstance(bound, FieldInfo) else [bound]:
            found |= {name: getattr(item, name) for name in ("ge", "gt", "le", "lt") if hasattr(item, name)}
    limits: Mapping[str, Any] = {name: limit for name, limit in found.items() if abs(limit) < _NO_LIMIT}
    low, high = limits.get("ge"), limits.get("le")
    if low is not None and high is not None:
        return f", {low} to {high}"
    words = {"ge": "from {}", "gt": "above {}", "le": "up to {}", "lt": "below {}"}
    said = " and ".join(words[name].format(limit) for name, limit in limits.items())
    return f" {said}" if said else ""
