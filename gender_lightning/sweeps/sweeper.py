"""The Hydra sweeper behind `train -m`. Lightning restarts `sys.argv` for further ranks: each job needs its own."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.config_store import ConfigStore
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from gender_lightning.errors import PastHydra, UserError
from gender_lightning.machine.hardware import cores_to_divide, visible_gpus
from gender_lightning.overrides.composing import parser_of
from gender_lightning.overrides.own_folders import of_texts
from gender_lightning.sweeps.jobs import plain_overrides
from gender_lightning.sweeps.slots import Slot, divide


@dataclass
class ProcessSweeperConfig:
    """`hydra.sweeper.*`."""

    _target_: str = "hydra_plugins.gender_lightning_sweeper.ProcessSweeper"
    workers: int = 1
    oversubscribe: bool = False
    per_device: int = 1
    fork: bool = True


ConfigStore.instance().store(
    group="hydra/sweeper", name="processes", node=ProcessSweeperConfig, provider="gender_lightning"
)


class ProcessSweeper(Sweeper):
    """Runs every point of a grid, or every trial of a search, as a process tree of its own.

    Args:
        workers: Number of jobs that run at a time; the machine is divided among them.
        oversubscribe: On the CPU, whether jobs may have less than a core per process.
        per_device: Number of jobs that may share a GPU; a small network alone does not keep one busy.
        fork: Import the libraries once and fork each job from there, where the system can (Linux); false starts
            every job as a fresh process, which takes some seconds more.
    """

    def __init__(self, workers: int = 1, oversubscribe: bool = False, per_device: int = 1, fork: bool = True) -> None:
        self.workers, self.oversubscribe, self.per_device, self.fork = workers, oversubscribe, per_device, fork

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take the composed configuration; called by Hydra before `sweep`."""
        self.config = config
        self.composed = config  # Hydra's own attribute may be None
        self.config_loader: ConfigLoader = hydra_context.config_loader

    def sweep(self, arguments: list[str]) -> Any:
        """Run the sweep; a failing job does not stop the others.

        Raises:
            SystemExit: with 1 when a job failed, with 130 when it was interrupted.
            PastHydra: with a `UserError` when the sweep cannot start.
        """
        try:
            code = self._search(arguments) if "search" in self.composed else self._grid(arguments)
        except UserError as error:
            raise PastHydra(error) from None
        if code:
            sys.exit(code)

    def _grid(self, arguments: Sequence[str]) -> int:
        from gender_lightning.sweeps.grid import grid
        from gender_lightning.sweeps.grid_sweep import run_grid

        points = [plain_overrides(point) for point in grid([*self._own_folders(), *arguments])]
        devices = [self._devices(point) for point in points]
        directory = Path(str(self.composed.hydra.sweep.dir)).absolute()
        return run_grid(points, devices, self._slots(devices), directory, fork=self.fork)

    def _search(self, arguments: Sequence[str]) -> int:
        from gender_lightning.overrides import groups
        from gender_lightning.sweeps.search.plan import make_plan
        from gender_lightning.sweeps.search.report import report
        from gender_lightning.sweeps.search.sweep import run_search

        fixed, swept = self._split([*self._own_folders(), *arguments])
        plan = make_plan(
            self.composed,
            fixed,
            swept,
            compose=lambda point: self.config_loader.load_sweep_config(self.composed, list(point)),
            devices_of=self._devices,
            directory=_directory_of(self.composed),
        )
        code, trials = run_search(plan, self._slots([plan.devices]), fork=self.fork)
        # an unfinished search may yet find a better one, and the test split is read once
        report(plan, trials.study, groups(), test=trials.is_over() and self.composed.test, wandb=code != 130)
        return code

    def _split(self, arguments: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Divide the overrides into those that every trial has and those that are searched."""
        swept = [override.is_sweep_override() for override in parser_of(arguments).parse_overrides(list(arguments))]
        fixed = [text for text, varies in zip(arguments, swept, strict=True) if not varies]
        return plain_overrides(fixed), tuple(text for text, varies in zip(arguments, swept, strict=True) if varies)

    def _own_folders(self) -> tuple[str, ...]:
        """The user's own configuration folders, which every job composes from too."""
        return of_texts(str(text) for text in self.composed.hydra.overrides.hydra)

    def _devices(self, point: Sequence[str]) -> int:
        """The number of devices that a job uses; 0 stands for "auto"."""
        config = self.composed
        if any(text.lstrip("+").startswith(("trainer", "experiment")) for text in point):
            config = self.config_loader.load_sweep_config(self.composed, list(point))
        devices = config.trainer.devices
        return 0 if devices == "auto" else int(devices)

    def _slots(self, devices: Sequence[int]) -> list[Slot]:
        gpus = visible_gpus() if self.workers > 1 and self.composed.trainer.accelerator in ("auto", "gpu") else []
        return divide(
            self.workers,
            max(devices),
            gpus=gpus,
            cores=cores_to_divide(),
            oversubscribe=self.oversubscribe,
            per_device=self.per_device,
        )


def search_directory(arguments: Sequence[str]) -> Path:
    """The directory that `train -m` with these overrides searches in."""
    from hydra import compose

    from gender_lightning.overrides import hydra_at_conf

    texts = [text for text in arguments if not text.startswith("-")]
    with hydra_at_conf():
        single = [text for text in texts if not parser_of(texts).parse_override(text).is_sweep_override()]
        return _directory_of(compose("train", single, return_hydra_config=True))


def _directory_of(composed: DictConfig) -> Path:
    """Where the same command finds its search again: by its name and study, unless the directory is given."""
    directory = Path(str(composed.hydra.sweep.dir))
    if not any(text.startswith("hydra.sweep.dir=") for text in composed.hydra.overrides.hydra):
        directory = directory.parent / str(composed.search.study)
    return directory.absolute()
