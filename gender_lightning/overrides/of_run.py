"""What `evaluate` takes over from the run that a checkpoint lies in, as overrides in Hydra's grammar."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gender_lightning.data.framing import FRAMING_FIELDS
from gender_lightning.errors import UserError, UserErrors
from gender_lightning.runs import Run


def with_data_of_run(overrides: list[str]) -> list[str]:
    """Put the data section of the checkpoint's run in front, unless `data=` names another.

    Raises:
        UserErrors: an override would change the framing.
        UserError: the run's configuration has no data section.
    """
    given = {text.partition("=")[0].lstrip("+~"): text.partition("=")[2] for text in overrides}
    problems = [
        f"{text}: the framing belongs to the checkpoint and cannot be changed here. Leave it out."
        for text in overrides
        if text.partition("=")[0].lstrip("+~") in {f"data.{name}" for name in FRAMING_FIELDS}
    ]
    if problems:
        raise UserErrors(problems)
    if "data" in given or "checkpoint" not in given:
        return overrides
    run = Run.of(Path(given["checkpoint"].strip("'\"")))
    if run is None:
        return overrides
    section = run.config().get("data")
    if not isinstance(section, dict) or not _is_plain(section):
        raise UserError(
            f"{run.path / 'config.yaml'} has no data section. Say which data to use: data=celeba data.root=..."
        )
    own = [f"data={section['name']}"]
    own += [f"data.{key}={hydra_value(value)}" for key, value in section.items() if key != "name"]
    return own + overrides


def check_drawn(section: Mapping[str, Any]) -> None:
    """Refuse a run's own synthetic faces that are not there: what a run directory says draws nothing.

    Raises:
        UserError: they are not.
    """
    from gender_lightning.synthetic.marker import MARKER

    root = Path(str(section.get("root")))
    if not (root / MARKER).is_file():
        raise UserError(
            f"The run's faces are not in {root} any more. Say data=synthetic data.root=... to draw some, or name "
            "other data."
        )


def _is_plain(section: Mapping[Any, Any]) -> bool:
    """Whether the keys are names of fields, and the name is that of a choice."""
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
