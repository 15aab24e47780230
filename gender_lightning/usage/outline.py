"""The fields of a command in order, section by section, for its help and for the manual's reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gender_lightning.config.base import Section
from gender_lightning.usage.defaults import choice_values, shown
from gender_lightning.usage.fields import FieldRow, members_of, rows, section_of
from gender_lightning.verbs import Command


@dataclass(frozen=True)
class Field:
    """One field of a command.

    Attributes:
        row: Name, kind and description of the field.
        default: Default value as it is typed; None if the field must be given.
    """

    row: FieldRow
    default: str | None


@dataclass(frozen=True)
class HelpPart:
    """Fields that belong together.

    Attributes:
        section: Name of the section (`trainer`); empty for the fields of the command itself.
        choice: Choice of the group that adds these fields to those of the default choice; empty for the default.
        purpose: What the section is for; empty for the command itself.
        fields: The fields, in the order of the schema.
    """

    section: str
    choice: str
    purpose: str
    fields: tuple[Field, ...]


def outline(command: Command, values: Mapping[str, Any]) -> Iterator[HelpPart]:
    """Yield the fields of the command itself, then those of each section.

    Args:
        command: The command.
        values: Its composed configuration.
    """
    sections = sections_of(command)
    own = (row for row in rows(command.schema) if row.name.partition(".")[0] not in sections)
    yield HelpPart("", "", "", tuple(_field(row, values) for row in own))
    for name in sections:
        yield from parts_of(command, values, name)


def sections_of(command: Command) -> list[str]:
    """The sections of a command's configuration, such as `trainer`."""
    fields = command.schema.model_fields
    return [name for name, field in fields.items() if section_of(field.annotation) or members_of(field)]


def parts_of(command: Command, values: Mapping[str, Any], name: str) -> Iterator[HelpPart]:
    """Yield a section's fields; if a section has several kinds, also the fields that each other kind adds."""
    field = command.schema.model_fields[name]
    given = values.get(name) or choice_values(name, "default")  # there is no search unless one is chosen
    if section := section_of(field.annotation):
        listed = list(rows(section, f"{name}."))
        if section.model_config.get("extra") == "allow":
            known = {row.name for row in listed}
            names = (f"{name}.{key}" for key in given)
            listed += [FieldRow(other, "its own", f"argument of this {name}") for other in names if other not in known]
        yield HelpPart(name, "", _purpose(section), tuple(_field(row, {name: given}) for row in listed))
        return
    members = members_of(field)
    told: set[str] = {f"{name}.name"}  # which is chosen as a group
    for kind in sorted(members, key=lambda kind: kind != given["name"]):
        default = kind == given["name"]
        new = [row for row in rows(members[kind], f"{name}.") if row.name not in told]
        told |= {row.name for row in new}
        of_kind = {name: given if default else choice_values(name, kind)}
        fields = tuple(_field(row, of_kind) for row in new)
        yield HelpPart(name, "" if default else kind, _purpose(members[kind]), fields)


def _purpose(section: type[Section]) -> str:
    return " ".join((section.__doc__ or "").split("\n\n")[0].split())


def _field(row: FieldRow, values: Mapping[str, Any]) -> Field:
    node: Any = values
    for part in row.name.split("."):
        node = node.get(part, row.default) if isinstance(node, Mapping) else row.default
    return Field(row, None if node == "???" else shown(node))
