"""Where a run is found in W&B: project, name, group and id, from the configuration or from W&B's own variables.

W&B itself follows WANDB_ENTITY, WANDB_NOTES, WANDB_TAGS and the like wherever nothing is passed to it.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from string import ascii_lowercase, digits
from typing import Any

from gender_lightning.config import WandbLogger
from gender_lightning.job import this_job

PROJECT = "gender_lightning"
ID, RECORDED_PROJECT, RECORDED_ENTITY = "wandb_id", "wandb_project", "wandb_entity"  # fields of run.json
_LONGEST_NAME = 128  # characters, of those that W&B shows
_USABLE_ID = re.compile(r"[\w-]{1,64}")  # see `Run.info`
_MANY_DIGITS = re.compile(r"(?<==)-?\d+\.\d{4,}(?:e[+-]?\d+)?$")
log = logging.getLogger(__name__)


def project_of(config: WandbLogger, info: Mapping[str, Any] | None = None) -> str:
    """The project: the one that the run is already in, else the configured one, WANDB_PROJECT or the default."""
    recorded = (info or {}).get(RECORDED_PROJECT)
    return str(recorded or config.project or os.environ.get("WANDB_PROJECT") or PROJECT)


def entity_of(config: WandbLogger, info: Mapping[str, Any] | None = None) -> str | None:
    """The user or team: the one that the run already belongs to, else the configured one; None: W&B's default."""
    return (info or {}).get(RECORDED_ENTITY) or config.entity


def place_of(config: WandbLogger, resolved: Mapping[str, Any], info: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `wandb.init` that place a training, chosen so that the jobs of a sweep are grouped.

    Args:
        config: The logger section.
        resolved: The whole configuration.
        info: The content of `run.json`.
    """
    job, name = this_job(), config.run_name or os.environ.get("WANDB_NAME")
    place: dict[str, Any] = {"tags": config.tags or None}
    if config.notes is not None:
        place["notes"] = config.notes
    if job is None:
        place |= {"name": name or default_name(resolved), "group": config.group, "job_type": "train"}
    else:
        group = config.group or os.environ.get("WANDB_RUN_GROUP") or job.sweep
        name = " ".join([name or job.sweep, str(job.number), *map(rounded, job.varied)])[:_LONGEST_NAME]
        place |= {"name": name, "group": group, "job_type": "trial" if job.kind == "trial" else "train"}
    if under_agent():
        return place  # the agent chose the project
    return {"project": project_of(config, info), "entity": entity_of(config, info), **place}


def rounded(override: str) -> str:
    """An override as a name shows it: a number that a sampler drew has three digits.

    Example:
        >>> rounded("optimizer.lr=0.014278569247024418"), rounded("seed=1"), rounded("optimizer.lr=0.001")
        ('optimizer.lr=0.0143', 'seed=1', 'optimizer.lr=0.001')
    """
    return _MANY_DIGITS.sub(lambda found: f"{float(found[0]):.3g}", override)


def default_name(resolved: Mapping[str, Any]) -> str:
    """The name of a run on a dashboard: its own name unless that is `train`, backbone, data and directory.

    Example:
        >>> default_name({"name": "train", "model": {"name": "resnet18"}, "run_dir": "runs/train/2026-01-31_12-00-00"})
        'resnet18 2026-01-31_12-00-00'
    """
    own, directory = resolved.get("name"), Path(str(resolved.get("run_dir", ""))).name
    chosen = [resolved.get(section, {}).get("name") for section in ("model", "data")]
    parts = [None if own == "train" else own, *chosen, directory]
    return " ".join(str(part) for part in parts if part)[:_LONGEST_NAME]


def run_id_of(info: Mapping[str, Any]) -> str:
    """The id of a training's W&B run: the recorded one, else WANDB_RUN_ID unless a sweep started it, else a new one.

    A W&B agent sets WANDB_RUN_ID and insists on it.
    """
    named = os.environ.get("WANDB_RUN_ID") if this_job() is None else None
    if named and not _USABLE_ID.fullmatch(named):
        log.warning("WANDB_RUN_ID is not used: a run id has at most 64 characters: letters, digits, - and _.")
        named = None
    if named and under_agent():
        return named
    return info.get(ID) or named or new_id()


def under_agent() -> bool:
    """Whether a W&B agent started this training as a run of a W&B sweep."""
    return this_job() is None and bool(os.environ.get("WANDB_SWEEP_ID"))


def new_id() -> str:
    """Generate an id for a W&B run."""
    # W&B's own alphabet and length; not drawn from `random`, which is seeded alike in every run
    return "".join(secrets.choice(ascii_lowercase + digits) for _ in range(8))
