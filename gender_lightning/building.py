"""Third-party objects from `_target_` sections: the one place that imports what a config names.

A config may be of somebody else (the config.yaml of a run directory, an experiment), so a section names one kind
of object and nothing else: a class from the modules of its kind, derived from the kind's base. Being in an admitted
package is not enough: torch alone has classes that start programs. Arguments are compared with the signature
first, so that a typo is told before a run starts instead of in its middle.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gender_lightning.errors import UserError


@dataclass(frozen=True)
class Kind:
    """What may be built at a place.

    Attributes:
        noun: For messages.
        base: Dotted path of the class that the target must be derived from.
        modules: Where a target's path may begin; nothing else is imported.
        example: For messages.
    """

    noun: str
    base: str
    modules: tuple[str, ...]
    example: str


OPTIMIZER = Kind("an optimizer", "torch.optim.Optimizer", ("torch.optim", "timm.optim"), "torch.optim.AdamW")
CALLBACK = Kind(
    "a callback",
    "pytorch_lightning.Callback",
    ("pytorch_lightning.callbacks",),
    "pytorch_lightning.callbacks.DeviceStatsMonitor",
)
SAMPLER = Kind("a sampler", "optuna.samplers.BaseSampler", ("optuna.samplers",), "optuna.samplers.TPESampler")
PRUNER = Kind("a pruner", "optuna.pruners.BasePruner", ("optuna.pruners",), "optuna.pruners.MedianPruner")
TARGET = "_target_"
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_BY_PLACE = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def build(section: Mapping[str, Any], kind: Kind, *args: Any, allowed: Collection[str] = (), **runtime: Any) -> Any:
    """Builds the object that a section describes.

    Args:
        section: `_target_` (a dotted path to a class) and its keyword arguments; an argument that is itself a
            section, alone or in a list, is built first; it must be of the same kind.
        kind: What it must be.
        *args: Positional arguments that only the program knows, such as parameter groups.
        allowed: Modules admitted besides the kind's.
        **runtime: Keyword arguments that only the program knows.

    Returns:
        The instance.

    Raises:
        UserError: For a module that is not admitted, a class that does not exist or is not of the kind, an
            unknown, doubled or missing argument, or arguments that the class itself refuses.
    """
    check(section, kind, positional=len(args), runtime=runtime, allowed=allowed)
    target = resolve(section, kind, allowed=allowed)
    arguments = {key: _build_value(value, kind, allowed) for key, value in section.items() if key != TARGET}
    try:
        return target(*args, **arguments, **runtime)
    except Exception as error:  # foreign code with the user's arguments: whatever it throws is about them
        raise UserError(f"{section[TARGET]} refuses its arguments: {error}. Change them in its section.") from error


def check(
    section: Mapping[str, Any],
    kind: Kind,
    *,
    positional: int = 0,
    runtime: Collection[str] = (),
    allowed: Collection[str] = (),
) -> None:
    """Checks a section against the signature of its class, without building anything.

    Args:
        section: As for `build`.
        kind: As for `build`.
        positional: Number of positional arguments that `build` will add.
        runtime: Names of the keyword arguments that `build` will add.
        allowed: Modules admitted besides the kind's.

    Raises:
        UserError: As `build`, except for what only the class itself can refuse.
    """
    target = resolve(section, kind, allowed=allowed)
    name = section[TARGET]
    keys = [str(key) for key in section if key != TARGET]
    parameters = signature(target)
    by_place = [p.name for p in parameters.values() if p.kind in _BY_PLACE][:positional]
    known = [p.name for p in parameters.values() if p.kind in _BY_NAME and p.name not in by_place]
    open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    for key in keys:
        if key in by_place or key in runtime:
            raise UserError(f"{name}: '{key}' is given by the program itself. Remove it from the section.")
        if key not in known and (key.startswith("_") or not open_ended):
            raise UserError(f"{name} has no argument '{key}'. {_suggest(key, known)}")
    given = {*keys, *runtime, *by_place}
    missing = [n for n in known if parameters[n].default is inspect.Parameter.empty and n not in given]
    if missing:
        raise UserError(f"{name} needs the argument {_listed(missing)}. Add it to the section.")
    for value in section.values():
        _check_value(value, kind, allowed)


def accepts(section: Mapping[str, Any], kind: Kind, argument: str, *, allowed: Collection[str] = ()) -> bool:
    """Whether the section's class names this argument in its signature."""
    return argument in signature(resolve(section, kind, allowed=allowed))


def resolve(section: Mapping[str, Any], kind: Kind, *, allowed: Collection[str] = ()) -> type:
    """Imports the class that a section names.

    Raises:
        UserError: If `_target_` is missing, not in a module of the kind, no class, or of another kind.
    """
    path = section.get(TARGET)
    if not isinstance(path, str) or "." not in path:
        raise UserError(f"{TARGET} must be the dotted path of a class, not {path!r}. Example: {kind.example}.")
    _admit(path, path, kind, allowed)
    found = _import(path)
    if not inspect.isclass(found):
        raise UserError(f"{path} is not a class. {TARGET} takes classes only, such as {kind.example}.")
    # torch.optim.something may itself have imported a class of quite another module
    _admit(f"{found.__module__}.{found.__qualname__}", path, kind, allowed)
    if not any(_is_in(path, module) for module in allowed) and not issubclass(found, _import(kind.base)):
        raise UserError(f"{path} is not {kind.noun}. Name a class such as {kind.example}.")
    return found


def signature(target: type) -> Mapping[str, inspect.Parameter]:
    """The constructor's parameters by name, without self."""
    return inspect.signature(target).parameters


def _admit(place: str, path: str, kind: Kind, allowed: Collection[str]) -> None:
    modules = (*kind.modules, *allowed)
    # a name with an underscore is not for others: optuna's own __main__ would run when it is imported
    private = any(part.startswith("_") for part in path.split("."))
    if private or not any(_is_in(place, module) for module in modules):
        raise UserError(f"{path} is not {kind.noun} of {_listed(modules)}. Example: {kind.example}.")


def _is_in(path: str, module: str) -> bool:
    return path.startswith(f"{module}.")


def _import(path: str) -> Any:
    parts = path.split(".")
    for end in range(len(parts) - 1, 0, -1):
        module = ".".join(parts[:end])
        try:
            found: Any = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise UserError(f"{path} needs the package {error.name}. Install it, or choose another.") from error
            continue
        return _attribute(found, parts[end:], path)
    raise UserError(f"The package {parts[0]} is not installed, so {path} cannot be used. Install it first.")


def _attribute(found: Any, names: list[str], path: str) -> Any:
    for name in names:
        if not hasattr(found, name):
            offered = [n for n, value in vars(found).items() if inspect.isclass(value) or inspect.ismodule(value)]
            where = getattr(found, "__name__", str(found))
            raise UserError(f"{path} does not exist: {where} has no '{name}'. {_suggest(name, offered)}")
        found = getattr(found, name)
    return found


def _sections(value: Any) -> Iterable[Mapping[str, Any]]:
    if isinstance(value, Mapping) and TARGET in value:
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _sections(item)


def _check_value(value: Any, kind: Kind, allowed: Collection[str]) -> None:
    for section in _sections(value):
        check(section, kind, allowed=allowed)


def _build_value(value: Any, kind: Kind, allowed: Collection[str]) -> Any:
    if isinstance(value, Mapping) and TARGET in value:
        return build(value, kind, allowed=allowed)
    if isinstance(value, (list, tuple)):
        return [_build_value(item, kind, allowed) for item in value]
    return value


def _suggest(name: str, known: Collection[str]) -> str:
    lowered = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower(), lowered, n=1)
    if close:
        return f"Did you mean '{lowered[close[0]]}'?"
    public = sorted(candidate for candidate in known if not candidate.startswith("_"))
    return f"Known are: {_listed(public)}." if public else "It takes none."


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
