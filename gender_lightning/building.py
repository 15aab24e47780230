"""Third-party objects from `_target_` sections: the only place that imports what a configuration names.

A configuration may come from somebody else (the config.yaml of a run directory, an experiment), so a section can only
name one kind of object: a class from the modules of its kind, derived from the kind's base class. Being in an allowed
package is not enough: torch alone has classes that start programs. Arguments are checked against the signature
first, so that a typo is reported before a run starts rather than in the middle of it.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gender_lightning.errors import UserError


@dataclass(frozen=True)
class Kind:
    """A kind of object that a section may build.

    Attributes:
        noun: Its name in messages, with the article.
        base: Dotted path of the base class of all targets.
        modules: Modules that a target may come from; nothing else is imported.
        example: Dotted path of an example, for messages.
    """

    noun: str
    base: str
    modules: tuple[str, ...]
    example: str


OPTIMIZER = Kind(
    "an optimizer",
    "torch.optim.Optimizer",
    ("torch.optim", "timm.optim", "gender_lightning.training.muon"),
    "torch.optim.AdamW",
)
CALLBACK = Kind(
    "a callback",
    "pytorch_lightning.Callback",
    ("pytorch_lightning.callbacks",),
    "pytorch_lightning.callbacks.DeviceStatsMonitor",
)
AUGMENTATION = Kind(
    "an augmentation",
    "torch.nn.Module",
    ("torchvision.transforms.v2", "kornia.augmentation"),
    "torchvision.transforms.v2.GaussianBlur",
)
SAMPLER = Kind("a sampler", "optuna.samplers.BaseSampler", ("optuna.samplers",), "optuna.samplers.TPESampler")
PRUNER = Kind("a pruner", "optuna.pruners.BasePruner", ("optuna.pruners",), "optuna.pruners.MedianPruner")
TARGET = "_target_"
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_BY_PLACE = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def build(section: Mapping[str, Any], kind: Kind, *args: Any, allowed: Collection[str] = (), **runtime: Any) -> Any:
    """Build the object that a section describes.

    Args:
        section: `_target_` (the dotted path of a class) and its keyword arguments. An argument that is itself a
            section, alone or in a list, is built first and must be of the same kind.
        kind: The kind of object to build.
        *args: Positional arguments that only the program knows, such as parameter groups.
        allowed: Modules allowed in addition to the kind's.
        **runtime: Keyword arguments that only the program knows.

    Returns:
        The instance.

    Raises:
        UserError: The module is not allowed, the class does not exist or is of another kind, an argument is
            unknown, given twice or missing, or the class itself rejects its arguments.
    """
    check(section, kind, positional=len(args), runtime=runtime, allowed=allowed)
    target = resolve(section, kind, allowed=allowed)
    arguments = {key: _build_value(value, kind, allowed) for key, value in section.items() if key != TARGET}
    try:
        return target(*args, **arguments, **runtime)
    except Exception as error:  # third-party code with the user's arguments: whatever it raises is about them
        raise UserError(f"{section[TARGET]} refuses its arguments: {error}.", "Change them in its section.") from error


def check(
    section: Mapping[str, Any],
    kind: Kind,
    *,
    positional: int = 0,
    runtime: Collection[str] = (),
    allowed: Collection[str] = (),
) -> None:
    """Check a section against the signature of its class without building anything.

    Args:
        section: The section, see `build`.
        kind: The kind of object it must describe.
        positional: Number of positional arguments that `build` will add.
        runtime: Names of the keyword arguments that `build` will add.
        allowed: Modules allowed in addition to the kind's.

    Raises:
        UserError: For the same reasons as `build`, except arguments that only the class itself can reject.
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
            raise UserError(f"{name}: '{key}' is given by the program itself.", "Remove it from the section.")
        if key not in known and (key.startswith("_") or not open_ended):
            raise UserError(f"{name} has no argument '{key}'.", _suggest(key, known))
    given = {*keys, *runtime, *by_place}
    missing = [n for n in known if parameters[n].default is inspect.Parameter.empty and n not in given]
    if missing:
        raise UserError(f"{name} needs the argument {_listed(missing)}.", "Add it to the section.")
    for value in section.values():
        _check_value(value, kind, allowed)


def accepts(section: Mapping[str, Any], kind: Kind, argument: str, *, allowed: Collection[str] = ()) -> bool:
    """Whether the class of the section has a parameter of this name."""
    return argument in signature(resolve(section, kind, allowed=allowed))


def resolve(section: Mapping[str, Any], kind: Kind, *, allowed: Collection[str] = ()) -> type:
    """Import the class that a section names.

    Raises:
        UserError: `_target_` is missing, in another module, not a class, or a class of another kind.
    """
    path = section.get(TARGET)
    if not isinstance(path, str) or "." not in path:
        raise UserError(f"{TARGET} must be the dotted path of a class, not {path!r}.", f"Example: {kind.example}.")
    _admit(path, path, kind, allowed)
    found = _import(path)
    if not inspect.isclass(found):
        raise UserError(f"{path} is not a class.", f"{TARGET} takes classes only, such as {kind.example}.")
    # torch.optim.something may itself have imported a class from a different module
    _admit(f"{found.__module__}.{found.__qualname__}", path, kind, allowed)
    if not any(_is_in(path, module) for module in allowed) and not issubclass(found, _import(kind.base)):
        raise UserError(f"{path} is not {kind.noun}.", f"Name a class such as {kind.example}.")
    return found


def import_packages(names: Sequence[str]) -> None:
    """Import the user's own packages, so that what they register (a network in timm, say) is known.

    Raises:
        UserError: A package cannot be imported.
    """
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise UserError(
                f"packages: {name} cannot be imported ({error}).", "Install it, or put its folder into PYTHONPATH."
            ) from error


def signature(target: type) -> Mapping[str, inspect.Parameter]:
    """The constructor's parameters by name, without self."""
    return inspect.signature(target).parameters


def _admit(place: str, path: str, kind: Kind, allowed: Collection[str]) -> None:
    modules = (*kind.modules, *allowed)
    # names with an underscore are private: optuna's own __main__ would run when imported
    private = any(part.startswith("_") for part in path.split("."))
    if private or not any(_is_in(place, module) for module in modules):
        raise UserError(f"{path} is not {kind.noun} of {_listed(modules)}.", f"Example: {kind.example}.")


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
                raise UserError(f"{path} needs the package {error.name}.", "Install it, or choose another.") from error
            continue
        return _attribute(found, parts[end:], path)
    raise UserError(f"The package {parts[0]} is not installed, so {path} cannot be used.", "Install it first.")


def _attribute(found: Any, names: list[str], path: str) -> Any:
    for name in names:
        if not hasattr(found, name):
            offered = [n for n, value in vars(found).items() if inspect.isclass(value) or inspect.ismodule(value)]
            where = getattr(found, "__name__", str(found))
            raise UserError(f"{path} does not exist: {where} has no '{name}'.", _suggest(name, offered))
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
