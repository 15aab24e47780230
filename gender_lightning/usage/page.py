"""The help of the program and of each command."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gender_lightning.usage.outline import Field, HelpPart, outline, parts_of
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
        lines = [line for part in parts_of(command, values, only) for line in _part(part)]
        return "\n".join(lines) + "\n"
    lines = [*_head(command), *_menu(menu), "", "Fields, with their defaults as they are typed:"]
    for part in outline(command, values):
        lines += ["", *_part(part)] if part.section and not part.choice else _part(part)
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


def _part(part: HelpPart) -> Iterator[str]:
    if part.section:
        told = f"  with {part.section}={part.choice}" if part.choice else part.section
        yield f"{told}: {part.purpose}"
    for field in part.fields:
        yield from _field(field)


def _field(field: Field) -> Iterator[str]:
    row = field.row
    name = f"  {row.name}=" + ("... (required)" if field.default is None else field.default)
    lines = textwrap.wrap(f"{row.description} ({row.kind})", WIDTH - _NAMES_END, break_on_hyphens=False)
    if len(name) < _NAMES_END - 1:
        name = f"{name:<{_NAMES_END}}{lines.pop(0)}"
    yield name[:WIDTH]
    for line in lines:
        yield f"{'':<{_NAMES_END}}{line}"
