"""The settings that `evaluate` takes from the run of a checkpoint, as overrides in Hydra's grammar."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from gender_lightning.data.framing import FRAMING_FIELDS
from gender_lightning.errors import UserError, UserErrors
from gender_lightning.overrides.fields import is_known
from gender_lightning.runs import Run

Folders = Literal["whole", "halves"]
# A part of a list: in quotes, where a backslash makes a quote a part of the name, or up to the next comma.
_PART = re.compile(r"""\s*'(?:\\.|[^'\\])*'|\s*"(?:\\.|[^"\\])*"|[^,]+""")
# The fields that decide which images are in which split.
_ROWS = (
    "name", "root", "seed", "split", "sizes", "fraction", "limit", "exclude", "corrections", "drop_contradictions",
)  # fmt: skip


def with_data_of_run(overrides: list[str], *, folders: Folders | None = None) -> list[str]:
    """Put the data section of the checkpoint's run in front, unless `data=` names another.

    Args:
        overrides: The overrides as typed.
        folders: How a folder other than the run's own is divided, unless sizes are given: `whole` makes all of it the
            requested split, `halves` makes it valid and test. The run's own folder is split as for the training, even
            if it is named again, so that training pictures are not tested.

    Raises:
        UserErrors: An override would change the framing.
        UserError: The run's configuration has no data section, or several checkpoints were trained on different rows.
    """
    given = {_key(text): text.partition("=")[2] for text in overrides}
    _refuse_framing(overrides)
    runs = [run for name in names_in(given.get("checkpoint", "")) if (run := Run.of(Path(name).expanduser()))]
    run = runs[0] if runs else None
    section: Any = {} if run is None else run.config().get("data")
    named, trained_on = given.get("data"), section.get("name") if isinstance(section, dict) else None
    own = trained_on is not None and named in (None, trained_on)
    own = own and ("data.root" not in given or _same_place(given["data.root"], section.get("root")))
    if named is None or (own and named == "folder"):
        _refuse_other_rows(runs)
    if own and named == "folder":
        named, overrides = None, [text for text in overrides if _key(text) != "data"]
    chosen = any(name.startswith("data.sizes") for name in given)
    if folders and not own and not chosen and (named or trained_on) == "folder":
        whole = {split: float(split == given.get("split", "test")) for split in ("train", "valid", "test")}
        sizes = whole if folders == "whole" else {"train": 0.0, "valid": 0.5, "test": 0.5}
        overrides = [*overrides, f"data.sizes={hydra_value(sizes)}"]
    if run is None or named is not None:
        return overrides
    if not isinstance(section, dict) or not _is_plain(section):
        raise UserError(
            f"{run.path / 'config.yaml'} has no data section.",
            "Name the data to use: data=celeba data.root=...",
            field="data",
        )
    before = [f"data={section['name']}"]
    before += [f"data.{key}={hydra_value(value)}" for key, value in section.items() if key != "name"]
    return before + overrides


def with_fields_of_resumed(overrides: list[str], fields: Mapping[str, Any]) -> list[str]:
    """Let a resume change fields that only the choices of its run have (`loss.teacher` of `loss=distill`).

    They get `++` in front, without which Hydra would refuse them beside the default choices. They are checked together
    with the run's own configuration, which the composed one has no part in.

    Args:
        overrides: The overrides as typed.
        fields: The fields that exist without any choice.
    """
    named = next((_unquoted(text.partition("=")[2]) for text in overrides if text.startswith("resume=")), "")
    run = _resumed(named)
    if run is None:
        return overrides
    try:
        own = run.config()
    except UserError:  # told where the run is opened
        return overrides

    def is_own(key: str) -> bool:
        return not is_known(key, fields) and is_known(key, own)

    return [f"++{text}" if is_own(text.partition("=")[0]) else text for text in overrides]


def _resumed(named: str) -> Run | None:
    path = Path(named).expanduser()
    directory = path.parent.parent if path.suffix == ".ckpt" else path
    return Run(directory) if named and (directory / "config.yaml").is_file() else None


def _refuse_other_rows(runs: list[Run]) -> None:
    """Refuse runs that were trained on different images: a test image of one may have been learned by another."""
    sections = [section if isinstance(section := run.config().get("data"), dict) else {} for run in runs]
    for run, section in zip(runs[1:], sections[1:], strict=True):
        if any(section.get(field) != sections[0].get(field) for field in _ROWS):
            raise UserError(
                f"{runs[0].path} and {run.path} were trained on different data or splits.",
                "Name data that none of them has seen: data=... data.root=...",
                field="data",
            )


def _refuse_framing(overrides: list[str]) -> None:
    framing = {f"data.{name}" for name in FRAMING_FIELDS}
    problems = [
        UserError(
            f"{text}: the framing belongs to the checkpoint and cannot be changed here.",
            "Leave it out.",
            field=_key(text),
        )
        for text in overrides
        if _key(text) in framing
    ]
    if problems:
        raise UserErrors(problems)


def _key(text: str) -> str:
    return text.partition("=")[0].lstrip("+~")


def names_in(value: str) -> list[str]:
    """The file names in the value of an override: one, or those of a list, without their quotes."""
    if not (value.startswith("[") and value.endswith("]")) or os.path.lexists(value):
        return [_unquoted(value)] if value else []
    return [_unquoted(part.strip()) for part in _PART.findall(value[1:-1]) if part.strip()]


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] and value[0] in ("'", '"'):
        return value[1:-1].replace(f"\\{value[0]}", value[0])
    return value


def _same_place(typed: str, root: object) -> bool:
    return Path(os.path.realpath(os.path.expanduser(_unquoted(typed)))) == Path(os.path.realpath(str(root)))


def check_drawn(section: Mapping[str, Any]) -> None:
    """Refuse a run whose synthetic faces are missing, since the content of a run directory must not make us draw.

    Raises:
        UserError: The faces are missing.
    """
    from gender_lightning.synthetic.marker import MARKER

    root = Path(str(section.get("root")))
    if not (root / MARKER).is_file():
        raise UserError(
            f"The run's faces are no longer in {root}.",
            "Add data=synthetic data.root=... to draw some, or name other data.",
            field="data.root",
        )


def _is_plain(section: Mapping[Any, Any]) -> bool:
    """Whether the keys look like names of fields, and the name like that of a choice."""
    names = [*section, section.get("name")]
    return all(isinstance(name, str) and re.fullmatch(r"[A-Za-z]\w*", name) for name in names)


def hydra_value(value: Any) -> str:
    """A plain value in Hydra's override grammar."""
    from hydra.core.override_parser.types import Quote, QuotedString

    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{hydra_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(hydra_value(item) for item in value) + "]"
    if isinstance(value, (int, float)):
        return str(value)
    return QuotedString(str(value), Quote.single).with_quotes()
