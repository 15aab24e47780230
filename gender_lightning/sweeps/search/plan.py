"""The plan of a search, read from the configuration and the command line before anything starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from pydantic import TypeAdapter

from gender_lightning.config import LoggerConfig, SearchConfig, parse_config
from gender_lightning.overrides.of_run import hydra_value
from gender_lightning.sweeps.search.space import Space, make_space
from gender_lightning.sweeps.search.study import checked


@dataclass(frozen=True)
class Plan:
    """The settings that all trials of a search share."""

    settings: SearchConfig
    space: Space
    fixed: tuple[str, ...]
    directory: Path
    devices: int  # the most that a trial uses; 0 is "auto"
    logger: LoggerConfig  # of the trials

    @property
    def always(self) -> tuple[str, ...]:
        """The overrides that a trial has besides its point: best.ckpt is the epoch that the search goes by."""
        metric, mode = next(iter(self.settings.objectives.items()))
        chosen = any(text.startswith("callbacks.checkpoint.") for text in self.fixed)
        if chosen or metric == "val/accuracy" or not metric.startswith("val/"):
            return self.fixed
        return (*self.fixed, f"callbacks.checkpoint.monitor={metric}", f"callbacks.checkpoint.mode={mode}")


def make_plan(
    config: DictConfig,
    fixed: Sequence[str],
    swept: Sequence[str],
    *,
    compose: Callable[[Sequence[str]], DictConfig],
    devices_of: Callable[[Sequence[str]], int],
    directory: Path,
) -> Plan:
    """Read the settings and the space of a search.

    Args:
        config: The configuration composed without the searched overrides, `hydra` included.
        fixed: The overrides that every trial has.
        swept: The overrides with several values.
        compose: Composes a training, `hydra` included, as a trial does: from overrides without the search's file.
        devices_of: Gives the number of devices that a job with these overrides uses.
        directory: The directory of the sweep.

    Raises:
        UserError: The settings or the space are invalid.
    """
    values = OmegaConf.to_container(config.search, resolve=True)
    assert isinstance(values, dict)
    settings = parse_config(SearchConfig, {str(key): value for key, value in values.items()})
    fixed = (*_set_beside_the_space(config, fixed, compose), *fixed)

    def current(key: str) -> Any:
        choices = config.hydra.runtime.choices
        return choices[key] if key in choices else OmegaConf.select(config, key)

    space = make_space(settings.space, swept, fixed, current)
    points: list[tuple[str, ...]] = [()]
    if any(parameter.key.startswith(("trainer", "experiment")) for parameter in space.parameters):
        points = [space.overrides(corner) for corner in space.corners()]
    devices = max(devices_of((*fixed, *point)) for point in points)
    # one logger is a union, which pydantic validates as such only with an adapter around it
    logger = TypeAdapter(LoggerConfig).validate_python(OmegaConf.to_container(config.logger, resolve=True))
    return Plan(checked(settings, space), space, tuple(fixed), directory, devices, logger)


def _set_beside_the_space(
    config: DictConfig, fixed: Sequence[str], compose: Callable[[Sequence[str]], DictConfig]
) -> tuple[str, ...]:
    """What the search's file chooses and sets besides its space, as overrides that give every trial the same."""
    choices = config.hydra.runtime.choices
    plain = compose(fixed)
    before = plain.hydra.runtime.choices
    chosen = [
        f"{group}={choice}"
        for group, choice in choices.items()
        if not group.startswith(("hydra", "search")) and choice != before.get(group)
    ]
    plain = compose([*chosen, *fixed]) if chosen else plain
    fields = dict(_fields(OmegaConf.to_container(plain)))
    return (
        *chosen,
        *(
            f"{'' if name in fields else '+'}{name}={hydra_value(value)}"
            for name, value in _fields(OmegaConf.to_container(config))
            if name not in fields or fields[name] != value
        ),
    )


def _fields(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The fields of a training with their values, interpolations as they are written."""
    for key, value in node.items():
        if not path and key in ("hydra", "search"):
            continue
        if isinstance(value, dict) and value:
            yield from _fields(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value
