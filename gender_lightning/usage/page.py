"""The help of the program and of each command."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gender_lightning.config.base import Section
from gender_lightning.usage.defaults import choice_values, shown
from gender_lightning.usage.fields import Row, members_of, rows, section_of
from gender_lightning.verbs import Command

WIDTH = 120
_NAMES_END = 42  # column where descriptions begin
_HYDRA = "--cfg job shows the composed configuration, --info how it came about, --hydra-help Hydra's own flags."


def page(command: Command, menu: Mapping[str, Sequence[str]], values: Mapping[str, Any], only: str = "") -> str:
    """The text that `gender-lightning <command> --help` prints.

    Args:
        command: The command.
        menu: The groups that it uses, with their choices.
        values: Its defaults.
        only: A section (`trainer`), to show its fields only.

    Returns:
        Lines of at most 120 characters: examples, groups, and every field with its default, its kind and range, and
        its description.
    """
    if only:
        return "\n".join(_section(command, values, only)) + "\n"
    lines = [*_head(command), *_menu(menu), "", "Fields, with their defaults as they are typed:"]
    lines += _fields(command, values)
    for note in command.notes:
        lines += ["", *textwrap.wrap(note, WIDTH)]
    lines += ["", "`--help SECTION` shows the fields of one section, --config-dir DIR adds a folder of yours to conf/."]
    return "\n".join([*lines, _HYDRA, ""])


def _head(command: Command) -> Iterator[str]:
    actions, swept = "|".join(command.actions), "[-m]" if command.swept else ""
    yield " ".join(filter(None, ["usage: gender-lightning", command.verb, actions, swept, "[field=value ...]"]))
    yield from ("", f"  {command.purpose}", "")
    for action, line in command.actions.items():
        yield f"  {action:<10} {line}"
    yield from ["", "Examples:"] if command.actions else ["Examples:"]
    width = max((len(line) for line, words in command.examples if words), default=0)
    for line, words in command.examples:
        yield f"  gender-lightning {line:<{width}}  {words}".rstrip()


def _menu(menu: Mapping[str, Sequence[str]]) -> Iterator[str]:
    if menu:
        yield from ("", "Groups (choose with group=choice; a choice is a file in conf/<group>/):")
    for group, choices in menu.items():
        line = f"{group}: {', '.join(choices)}"
        yield from textwrap.wrap(line, WIDTH, initial_indent="  ", subsequent_indent="      ")


def _fields(command: Command, values: Mapping[str, Any]) -> Iterator[str]:
    sections = sections_of(command)
    for row in rows(command.schema):
        if row.name.partition(".")[0] not in sections:
            yield from _row(row, values)
    for name in sections:
        yield ""
        yield from _section(command, values, name)


def sections_of(command: Command) -> list[str]:
    """The sections of a command's configuration, such as `trainer`."""
    fields = command.schema.model_fields
    return [name for name, field in fields.items() if section_of(field.annotation) or members_of(field)]


def _section(command: Command, values: Mapping[str, Any], name: str) -> Iterator[str]:
    """A section's heading and fields; if it is one of several kinds, also the fields that only the others have."""
    field = command.schema.model_fields[name]
    given = values.get(name) or choice_values(name, "default")  # a search is none unless it is chosen
    if section := section_of(field.annotation):
        yield f"{name}: {_purpose(section)}"
        listed = list(rows(section, f"{name}."))
        for row in listed:
            yield from _row(row, {name: given})
        if section.model_config.get("extra") == "allow":
            for key in given:
                if f"{name}.{key}" not in {row.name for row in listed}:
                    yield from _row(Row(f"{name}.{key}", "its own", f"argument of this {name}"), {name: given})
        return
    members = members_of(field)
    known: set[str] = {f"{name}.name"}  # which is chosen as a group
    for kind in sorted(members, key=lambda kind: kind != given["name"]):
        chosen = kind == given["name"]
        yield f"{name}: {_purpose(members[kind])}" if chosen else f"  with {name}={kind}: {_purpose(members[kind])}"
        defaults = {name: given if chosen else choice_values(name, kind)}
        for row in rows(members[kind], f"{name}."):
            if row.name not in known:
                known.add(row.name)
                yield from _row(row, defaults)


def _purpose(section: type[Section]) -> str:
    return " ".join((section.__doc__ or "").split("\n\n")[0].split())


def _row(row: Row, values: Mapping[str, Any]) -> Iterator[str]:
    node: Any = values
    for part in row.name.split("."):
        node = node.get(part, row.default) if isinstance(node, Mapping) else row.default
    name = f"  {row.name}=" + ("... (required)" if node == "???" else shown(node))
    lines = textwrap.wrap(f"{row.description} ({row.kind})", WIDTH - _NAMES_END, break_on_hyphens=False)
    if len(name) < _NAMES_END - 1:
        name = f"{name:<{_NAMES_END}}{lines.pop(0)}"
    yield name[:WIDTH]
    for line in lines:
        yield f"{'':<{_NAMES_END}}{line}"
