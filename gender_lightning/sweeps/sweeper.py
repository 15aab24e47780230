"""The Hydra sweeper behind `train -m`. Lightning restarts `sys.argv` for further ranks: each job needs its own."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig
from rich.table import Table

from gender_lightning.console import console
from gender_lightning.errors import UserError
from gender_lightning.sweeps.jobs import Job, JobResult, plain_overrides, run_job

log = logging.getLogger(__name__)


@dataclass
class ProcessSweeperConfig:
    """`hydra.sweeper.*`."""

    _target_: str = "hydra_plugins.gender_lightning_sweeper.ProcessSweeper"


ConfigStore.instance().store(
    group="hydra/sweeper", name="processes", node=ProcessSweeperConfig, provider="gender_lightning"
)


class ProcessSweeper(Sweeper):
    """Runs every point of a grid as a process tree of its own, one after the other."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take the composed configuration; called by Hydra before `sweep`."""
        self.config = config
        self.config_loader = hydra_context.config_loader

    def sweep(self, arguments: list[str]) -> Any:
        """Expand the overrides into jobs and run them; a failing job does not stop the others.

        Raises:
            SystemExit: with 1 when a job failed, with 2 when the sweep cannot start, with 130 when it was interrupted.
        """
        assert self.config is not None
        directory = Path(str(self.config.hydra.sweep.dir)).absolute()
        try:
            points = grid(arguments, self.config_loader)
            _allocate(directory)
        except UserError as error:
            # Hydra would print a traceback and exit with 1.
            sys.stderr.write(f"{error}\n")
            sys.exit(2)
        jobs = [
            Job(number, self._overrides(point, directory), directory / str(number))
            for number, point in enumerate(points)
        ]
        results: list[JobResult] = []
        try:
            for job in jobs:
                console.rule(f"job {job.number + 1} of {len(jobs)}: {' '.join(points[job.number])}")
                results.append(run_job(job))
        except KeyboardInterrupt:
            _print(results, points, directory)
            sys.exit(130)
        _print(results, points, directory)
        if any(result.status != "done" for result in results):
            sys.exit(1)
        return results

    def _overrides(self, point: Sequence[str], directory: Path) -> tuple[str, ...]:
        own = plain_overrides(point)
        assert self.config is not None
        chosen = any(text.startswith(("logger=", "logger.group=")) for text in own)
        uses_wandb = self.config.logger.name == "wandb" and not chosen
        group = (f"logger.group={directory.parent.name}_{directory.name}",) if uses_wandb else ()
        return (*own, *group)


def grid(arguments: Sequence[str], config_loader: ConfigLoader | None = None) -> list[tuple[str, ...]]:
    """All combinations of the values that the overrides name, the last one varying fastest.

    Args:
        arguments: Overrides; of two for one field the later counts.
        config_loader: Hydra's, which knows the choices that `glob(...)` stands for.

    Raises:
        UserError: an override is a range without end (`interval(...)`), which is for a search.
    """
    choices: dict[str, list[str]] = {}
    for override in OverridesParser.create(config_loader=config_loader).parse_overrides(list(arguments)):
        key = override.get_key_element()
        if not override.is_sweep_override():
            choices[key] = [str(override.input_line)]
        elif override.is_discrete_sweep():
            choices[key] = [f"{key}={value}" for value in override.sweep_string_iterator()]
        else:
            remedy = f"List them: {override.key_or_group}=a,b,c."
            raise UserError(f"{override.input_line}: a grid needs single values. {remedy}")
    return list(product(*choices.values()))


def _allocate(directory: Path) -> None:
    try:
        directory.mkdir(parents=True)
    except FileExistsError:
        raise UserError(
            f"The sweep directory {directory} exists already. Choose another with hydra.sweep.dir=..."
        ) from None
    except OSError as error:
        raise UserError(
            f"The sweep directory {directory} cannot be made ({error.strerror}). "
            "Choose another with hydra.sweep.dir=..."
        ) from None


def _print(results: Sequence[JobResult], points: Sequence[Sequence[str]], directory: Path) -> None:
    table = Table("job", "overrides", "status", "valid accuracy", "test accuracy")
    for result in results:
        scores = (result.metrics.get(f"{split}/accuracy") for split in ("val", "test"))
        shown = ["-" if score is None else f"{score:.4f}" for score in scores]
        table.add_row(str(result.job.number), shlex.join(points[result.job.number]), result.status, *shown)
    console.print(table)
    console.print(f"sweep directory: {directory}", markup=False)
