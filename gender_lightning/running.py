"""Running a command: its overrides are checked, Hydra composes the configuration, and the result is returned.

Both the command line and the Python functions end here.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

from gender_lightning.errors import PastHydra
from gender_lightning.machine.hardware import share_cores
from gender_lightning.verbs import COMMANDS

# Hydra's own flags, which run no job; Hydra checks the overrides itself then.
_HYDRA_ONLY = {"--cfg", "-c", "--info", "-i", "--shell-completion", "-sc", "--hydra-help", "--version"}


def execute(verb: str, action: str | None, arguments: list[str]) -> Any:
    """Check the overrides, then let Hydra compose and call the command.

    Args:
        verb: Name of the command.
        action: Action of the command, if it has actions.
        arguments: Overrides and flags, as typed after these.

    Returns:
        What the command's `main` returns; None for a sweep, and if a flag only shows the configuration.

    Raises:
        UserError: Any mistake in the overrides.
        SystemExit: Jobs of a sweep failed (1), or the sweep was interrupted (130).
    """
    from gender_lightning import overrides

    arguments = overrides.complete(verb, arguments)
    flags = {argument.partition("=")[0] for argument in arguments if argument.startswith("-")}
    if not flags & _HYDRA_ONLY:
        check_overrides(verb, arguments)
    # Hydra's parser takes -m before the overrides or behind all of them, not in between.
    arguments = sorted(arguments, key=lambda argument: argument not in ("-m", "--multirun"))
    results: list[Any] = []

    def task(composed: Any) -> None:
        from omegaconf import OmegaConf

        values = OmegaConf.to_container(composed, resolve=True)
        assert isinstance(values, dict)
        command = importlib.import_module(COMMANDS[verb].module)
        try:
            _import_packages(values.get("packages"))
            share_cores(processes=1)  # a training on several devices divides them further
            results.append(command.main(values, *([action] if action else [])))
        except Exception as error:
            raise PastHydra(error) from None

    try:
        run_hydra(verb, arguments, task)
        failure = None
    except PastHydra as carried:
        failure = carried.error
    if failure is not None:  # raised outside the handler, so that the traceback shows its own causes
        raise failure
    return results[0] if results else None


def check_overrides(verb: str, arguments: list[str]) -> None:
    """Check a command line, including the space of its search, before anything runs.

    Raises:
        UserError: The command line has mistakes; the message lists all of them.
    """
    from gender_lightning import overrides

    overrides.check(verb, arguments)
    if any(argument.startswith("search=") for argument in arguments):
        from gender_lightning.sweeps.search.checking import check_space

        own = ("-", "output=")  # the latter of wandb-sweep, whose other fields are those of train
        check_space([argument for argument in arguments if not argument.startswith(own)])


def run_hydra(verb: str, arguments: list[str], task: Callable[[Any], None]) -> None:
    """Run `task` under Hydra; the verb is hidden from Hydra's parser, and restored for Lightning's launcher."""
    import hydra

    from gender_lightning.config.location import conf_dir
    from gender_lightning.config.resolvers import register_resolvers

    register_resolvers()
    typed = list(sys.argv)

    def with_full_command_line(config: Any) -> None:
        sys.argv[:] = typed
        task(config)

    sys.argv[1:] = arguments
    try:
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=verb)(with_full_command_line)()
    finally:
        sys.argv[:] = typed


def _import_packages(names: Any) -> None:
    """Import the packages that the command line names, which registers their networks; the schema checks the list."""
    if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
        from gender_lightning.building import import_packages

        import_packages(names)
