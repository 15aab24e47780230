"""The mistakes that Hydra and the typed schema find in a whole command line, once it is composed."""

from __future__ import annotations

from typing import Any

from gender_lightning.config.validation import UnknownField, parse_config
from gender_lightning.errors import UserError, UserErrors
from gender_lightning.overrides.composing import SEARCHING, groups, plain
from gender_lightning.overrides.fields import extends, flat
from gender_lightning.verbs import COMMANDS

# The fields of Hydra's own section that name code, or where to look for it, with the values of conf/.
_NO_LOGGING = {"version": 1, "root": None, "disable_existing_loggers": False}
_HYDRAS_OWN: dict[str, Any] = {
    "callbacks": {}, "env": {}, "searchpath": [], "job_logging": _NO_LOGGING, "hydra_logging": _NO_LOGGING,
    "launcher": {"_target_": "hydra._internal.core_plugins.basic_launcher.BasicLauncher"}, "run": {"dir": "."},
    "output_subdir": None,
}  # fmt: skip
_SWEEPERS = {
    False: "hydra._internal.core_plugins.basic_sweeper.BasicSweeper",
    True: "hydra_plugins.gender_lightning_sweeper.ProcessSweeper",
}
# Errors that Hydra raises for unexpected overrides: data=5, =x, a name of a thousand letters.
_HYDRAS_SLIPS = (TypeError, ValueError, AssertionError, OSError)


class MissingValue(UserError):
    """A required field without a value."""


def schema_problems(verb: str, overrides: dict[str, str]) -> list[UserError]:
    """Every mistake in the values; `overrides` are the texts with their keys (none for a choice of a group).

    A contradiction between fields shows only if each field is valid by itself. So the overrides that were found wrong
    are left out, and the rest is checked again.
    """
    problems: dict[str, UserError] = {}
    texts = dict(overrides)
    while found := mistakes(verb, list(texts)):
        problems = {str(problem): problem for problem in found} | problems
        wrong = {problem.field for problem in found if problem.field}
        rest = {text: key for text, key in texts.items() if not any(extends(path, key) for path in wrong)}
        if len(rest) == len(texts):
            break
        texts = rest
    return list(problems.values())


def mistakes(verb: str, texts: list[str]) -> list[UserError]:
    """The mistakes that Hydra, or else the schema, finds in a whole command line; empty if there are none."""
    from hydra import compose as hydra_compose
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    try:
        composed = hydra_compose(verb, texts, return_hydra_config=True)
        if planted := _planted(verb, composed.hydra, texts):
            return planted
        values = plain(composed)
    except (HydraException, OmegaConfBaseException, *_HYDRAS_SLIPS) as error:
        return [_composition_problem(verb, error)]
    missing = [name for name, value in flat(values) if value == "???"]
    problems: list[UserError] = [
        MissingValue(f"{name}: a value is missing.", f"Give {name}=... on the command line.", field=name)
        for name in missing
    ]
    try:
        parse_config(COMMANDS[verb].schema, values)
    except UserErrors as error:
        typed = _typed(texts)
        problems += [_unless_typed(mistake, typed) for mistake in error.mistakes]
    return problems


def _unless_typed(mistake: UserError, typed: set[str]) -> UserError:
    """A mistake with a further remedy if nobody typed its field: an experiment sets it, and a chosen group lacks it."""
    field = mistake.field
    if not isinstance(mistake, UnknownField) or not field:
        return mistake
    if any(extends(field, key) for key in typed - set(groups())):
        return mistake
    remedy = f"{mistake.remedy} A file of conf/ sets it: leave it out with ~{field}"
    return UnknownField(mistake.problem, remedy, field=field)


def _typed(texts: list[str]) -> set[str]:
    return {text.lstrip("+~").replace("/", ".").partition("=")[0] for text in texts}


def _planted(verb: str, hydra: Any, texts: list[str]) -> list[UserError]:
    """Refuse what a file (somebody else's experiment) would make Hydra itself call or import.

    Hydra instantiates every `_target_` of its own section, and Python's logging every factory. The command line may
    set them, since its owner typed it.
    """
    from omegaconf import OmegaConf

    typed = _typed(texts)
    own = {**_HYDRAS_OWN, "sweeper._target_": _SWEEPERS[verb in SEARCHING]}
    return [
        UserError(
            f"hydra.{name} is changed by a file of conf/, which could run any code.",
            "Remove it from the file; if you want the change, type it on the command line.",
        )
        for name, wanted in own.items()
        if OmegaConf.select(hydra, name) != wanted and not any(extends(f"hydra.{name}", key) for key in typed)
    ]


def _composition_problem(verb: str, error: Exception) -> UserError:
    """Hydra's error about a value that it could not set, with the name of the field in front."""
    from omegaconf.errors import ConfigAttributeError, ConfigKeyError

    cause = error.__cause__ or error
    reason = str(cause).splitlines()[0].rstrip(".")
    key = getattr(cause, "full_key", None)
    if not key:
        return UserError(f"{reason}.", "Change this override.")
    if key.startswith("hydra"):
        remedy = f"`gender-lightning {verb} --cfg hydra` shows Hydra's own fields."
        return UserError(f"{key}: {reason}.", remedy, field=key)
    if isinstance(cause, ConfigAttributeError | ConfigKeyError):
        return UnknownField(f"{key}: there is no such field.", f"To add it, write +{key}=...", field=key)
    return UserError(f"{key}: {reason}.", "Change this value.", field=key)
