"""The reference pages of the manual, made from the registry of commands, the typed schema and `conf/`."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from gender_lightning.config.location import choices_in, conf_dir
from gender_lightning.usage.defaults import composed, shown
from gender_lightning.usage.outline import Field, HelpPart, outline
from gender_lightning.verbs import COMMANDS, Command

FOLDER = "reference/generated"


def write_pages(docs: Path) -> None:
    """Write every page below `docs/reference/generated/`, and remove what an earlier version left there."""
    folder = docs / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "commands").mkdir(parents=True)
    recipes = experiments()
    for verb, command in COMMANDS.items():
        (folder / "commands" / f"{verb}.md").write_text(
            "\n".join(command_page(command, recipes if verb == "train" else {}))
        )
    (folder / "groups.md").write_text("\n".join(groups_page()))
    (folder / "changelog.md").write_text((docs.parent / "CHANGELOG.md").read_text())


def anchor(verb: str, field: str) -> str:
    """Where a field stands on its command's page: `train-optimizer-lr`."""
    return f"{verb}-{field}".replace(".", "-").replace("_", "-").lower()


def heading_anchor(group: str, choice: str) -> str:
    """Where a choice stands on the page of groups, as MyST names the heading `model=resnet18`."""
    return re.sub(r"[^\w-]", "", f"{group}{choice}").lower()


def command_page(command: Command, recipes: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """The lines of a command's page: examples, groups, and every field.

    Args:
        command: Which.
        recipes: The fields that each experiment sets, of the commands that have experiments.
    """
    values, menu = composed(command.verb)
    yield from (f"# {command.verb}", "", _sentence(command.purpose), "", "```bash")
    for line, words in command.examples:
        yield f"gender-lightning {line}" + (f"  # {words}" if words else "")
    yield from ("```", "")
    for action, line in command.actions.items():
        yield f"- `{command.verb} {action}`: {line}"
    yield ""
    for note in command.notes:
        yield from (note, "")
    if menu:
        yield from ("## Groups", "", "| group | choices |", "|---|---|")
        for group, choices in menu.items():
            links = (f"[`{name}`](../groups.md#{heading_anchor(group, name)})" for name in choices)
            yield f"| `{group}` | {' '.join(links)} |"
        yield ""
    yield from ("## Fields", "", "A field is given as `field=value`; what is shown here are the defaults.", "")
    for part in outline(command, values):
        yield from _part(command.verb, part, recipes)


def _part(verb: str, part: HelpPart, recipes: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    if part.choice:
        if not part.fields:
            yield from (f"With `{part.section}={part.choice}`: {part.purpose}", "")
            return
        yield from (f"### {part.section}={part.choice}", "", part.purpose, "")
    elif part.section:
        yield from (f"### {part.section}", "", part.purpose, "")
    for field in part.fields:
        yield from _field(verb, field, recipes)


def _field(verb: str, field: Field, recipes: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    row = field.row
    default = "`required`{.required}" if field.default is None else f"`{row.name}={field.default}`{{.default}}"
    yield f"[`{row.name}`]{{#{anchor(verb, row.name)} .field}} {default}"
    yield f": {_escaped(_sentence(row.description or 'No description.'))}"
    yield f"  [Values: {_escaped(row.kind)}.]{{.values}}"
    setting = [f"`{name}` ({shown(values[row.name])})" for name, values in recipes.items() if row.name in values]
    if setting:
        yield f"  [Set by the experiments {', '.join(setting)}.]{{.values}}"
    yield ""


def experiments() -> dict[str, dict[str, Any]]:
    """The fields that each file of `conf/experiment/` sets, those of the experiments that it starts from included."""
    return {name: _fields_of(name) for name in choices_in([conf_dir()])["experiment"]}


def _fields_of(experiment: str) -> dict[str, Any]:
    content = yaml.safe_load((conf_dir() / "experiment" / f"{experiment}.yaml").read_text())
    fields: dict[str, Any] = {}
    for entry in content.pop("defaults", []):
        if isinstance(entry, str) and entry != "_self_":
            fields |= _fields_of(entry)
    return fields | dict(_leaves(content))


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def groups_page() -> Iterator[str]:
    """The lines of the page of all groups: every choice with its file."""
    yield from ("# Groups and choices", "")
    yield "A choice is a file of `conf/<group>/`, shown here as it is. `group=choice` takes it,"
    yield "and `--config-dir DIR` adds a folder of your own with the same layout."
    yield "Files that begin with `_` hold what several choices share."
    for group, choices in choices_in([conf_dir()]).items():
        yield from ("", f"## {group}")
        for name in choices:
            text = (conf_dir() / group / f"{name}.yaml").read_text().strip()
            yield from ("", f"### {group}={name}", "", "```yaml", text, "```")
    yield ""


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "?")) else f"{text}."


def _escaped(text: str) -> str:
    """Text in which Markdown sees nothing of its own."""
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]<>#|" else letter for letter in text)
