"""Runs a command with its overrides: checked, composed by Hydra, its result returned.

The command line and the functions in Python both end here.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

from gender_lightning.errors import PastHydra
from gender_lightning.verbs import COMMANDS

# Hydra's own flags, which do not run a job: the overrides are then Hydra's to judge.
_HYDRA_ONLY = {"--cfg", "-c", "--info", "-i", "--shell-completion", "-sc", "--hydra-help", "--version"}


def execute(verb: str, action: str | None, arguments: list[str]) -> Any:
    """Check the overrides, then let Hydra compose and call the command.

    Args:
        verb: Name of the command.
        action: Its action, where it has some.
        arguments: Overrides and flags, as typed after these.

    Returns:
        What the command's `main` returns; None for a sweep, and where a flag only shows the configuration.

    Raises:
        UserError: Any mistake in what was given.
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
            results.append(command.main(values, *([action] if action else [])))
        except Exception as error:
            raise PastHydra(error) from None

    try:
        run_hydra(verb, arguments, task)
        failure = None
    except PastHydra as carried:
        failure = carried.error
    if failure is not None:  # raised outside of the handler, so that its own causes are what is shown
        raise failure
    return results[0] if results else None


def check_overrides(verb: str, arguments: list[str]) -> None:
    """Check a command line, the space of its search included, before anything runs.

    Raises:
        UserError: Everything that is wrong with it.
    """
    from gender_lightning import overrides

    overrides.check(verb, arguments)
    if any(argument.startswith("search=") for argument in arguments):
        from gender_lightning.sweeps.search.checking import check_space

        check_space([argument for argument in arguments if not argument.startswith("-")])


def run_hydra(verb: str, arguments: list[str], task: Callable[[Any], None]) -> None:
    """Run `task` under Hydra with the verb hidden from its parser, and in place again for Lightning's launcher."""
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
    """Import what the command line names, so that networks of these packages are known; the schema judges the rest."""
    if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
        from gender_lightning.building import import_packages

        import_packages(names)
