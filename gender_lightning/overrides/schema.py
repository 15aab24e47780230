"""What Hydra and the typed schema say of a whole command line, once it is composed."""

from __future__ import annotations

from typing import Any

from gender_lightning.config import (
    BenchmarkConfig,
    CompareConfig,
    DataCommandConfig,
    DemoConfig,
    EvaluateConfig,
    ExportConfig,
    PopulationConfig,
    PredictConfig,
    TrainConfig,
    parse_config,
)
from gender_lightning.config.base import Section
from gender_lightning.errors import UserErrors
from gender_lightning.overrides.composing import groups, plain
from gender_lightning.overrides.fields import extends, flat, path_of

ROOTS: dict[str, type[Section]] = {
    "train": TrainConfig,
    "evaluate": EvaluateConfig,
    "compare": CompareConfig,
    "export": ExportConfig,
    "demo": DemoConfig,
    "population": PopulationConfig,
    "predict": PredictConfig,
    "benchmark": BenchmarkConfig,
    "data": DataCommandConfig,
}

# Of Hydra's own section what names code or where it is looked for, as conf/ has it.
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
# What Hydra raises for overrides that it has not thought of: data=5, =x, a name of a thousand letters.
_HYDRAS_SLIPS = (TypeError, ValueError, AssertionError, OSError)


def schema_problems(verb: str, overrides: dict[str, str]) -> list[str]:
    """Every mistake in the values; `overrides` are the texts with their keys (none for a choice of a group).

    A contradiction between fields shows only where each field is right by itself. So what was found wrong
    is left out, and the rest is looked at again.
    """
    problems: list[str] = []
    texts = dict(overrides)
    while found := mistakes(verb, list(texts)):
        problems += [problem for problem in found if problem not in problems]
        wrong = {path_of(problem) for problem in found} - {""}
        rest = {text: key for text, key in texts.items() if not any(extends(path, key) for path in wrong)}
        if len(rest) == len(texts):
            break
        texts = rest
    return problems


def mistakes(verb: str, texts: list[str]) -> list[str]:
    """What Hydra, or else the schema, says of a whole command line; nothing where all is right."""
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
    problems = [f"{name}: a value is missing. Give {name}=... on the command line." for name in missing]
    try:
        parse_config(ROOTS[verb], values)
    except UserErrors as error:
        typed = _typed(texts)
        problems += [_unless_typed(message, typed) for message in error.messages]
    return problems


def _unless_typed(problem: str, typed: set[str]) -> str:
    """What to do about a field that nobody typed: an experiment's, which another choice of its group does not have."""
    path, unknown = path_of(problem), "there is no such field." in problem
    if not unknown or any(extends(path, key) for key in typed - set(groups())):
        return problem
    return f"{problem} A file of conf/ sets it: leave it out with ~{path}"


def _typed(texts: list[str]) -> set[str]:
    return {text.lstrip("+~").replace("/", ".").partition("=")[0] for text in texts}


def _planted(verb: str, hydra: Any, texts: list[str]) -> list[str]:
    """What a file (an experiment of somebody else) would have Hydra itself call or import, beside the training.

    Hydra instantiates every `_target_` of its own section, and Python's logging every factory. What the command
    line itself says of it is its owner's.
    """
    from omegaconf import OmegaConf

    typed = _typed(texts)
    own = {**_HYDRAS_OWN, "sweeper._target_": _SWEEPERS[verb == "train"]}
    return [
        f"hydra.{name} is changed by a file of conf/, which could run anything. Leave it to the command line."
        for name, wanted in own.items()
        if OmegaConf.select(hydra, name) != wanted and not any(extends(f"hydra.{name}", key) for key in typed)
    ]


def _composition_problem(verb: str, error: Exception) -> str:
    """Hydra's complaint about a value that it could not put in its place, with the field's name in front."""
    cause = error.__cause__ or error
    reason = str(cause).splitlines()[0].rstrip(".")
    key = getattr(cause, "full_key", None)
    if key and key.startswith("hydra"):
        return f"{key}: {reason}. `gender-lightning {verb} --cfg hydra` shows Hydra's own fields."
    if key and "not in struct" in reason:
        return f"{key}: there is no such field yet. To add it, write +{key}=..."
    return f"{key}: {reason}. Change this value." if key else f"{reason}. Change this override."
