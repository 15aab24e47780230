"""Overrides are checked before Hydra composes them: Hydra stops at the first mistake, people make several."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gender_lightning.__main__ import conf_dir
from gender_lightning.config import DataCommandConfig, EvaluateConfig, TrainConfig, parse_config
from gender_lightning.config.base import Section
from gender_lightning.config.validation import suggestion
from gender_lightning.errors import UserError, UserErrors

ROOTS: dict[str, type[Section]] = {"train": TrainConfig, "evaluate": EvaluateConfig, "data": DataCommandConfig}
# The framing of a picture belongs to the weights that learned it.
_FRAMING = ("image_size", "crop", "zoom", "interpolation")


def complete(verb: str, overrides: Sequence[str]) -> list[str]:
    """Add what a command knows by itself: `resume=` and `evaluate` start from the run's own configuration."""
    if verb == "evaluate":
        return _with_data_of_run(list(overrides))
    return list(overrides)


def check(verb: str, arguments: Sequence[str]) -> None:
    """Check every override of a command line against `conf/` and the schema.

    Raises:
        UserErrors: all mistakes at once.
    """
    multirun = any(argument in ("-m", "--multirun") for argument in arguments)
    texts = [argument for argument in arguments if not argument.startswith("-")]
    problems: list[str] = []
    with _hydra_at_conf():
        good = _checked(verb, texts, multirun, problems)
        for variant in _variants(good):
            problems += [problem for problem in _schema_problems(verb, variant) if problem not in problems]
    if problems:
        raise UserErrors(problems)


def compose(verb: str, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The plain, resolved mapping that `conf/<verb>.yaml` and the overrides give (for tests and notebooks)."""
    with _hydra_at_conf():
        return _compose(verb, overrides)


def groups() -> dict[str, list[str]]:
    """The menu: every group of `conf/` with its choices."""
    folders = sorted(path for path in conf_dir().rglob("*") if path.is_dir())
    menu = {str(path.relative_to(conf_dir())): sorted(file.stem for file in path.glob("*.yaml")) for path in folders}
    return {group: choices for group, choices in menu.items() if choices}


@contextmanager
def _hydra_at_conf() -> Iterator[None]:
    from hydra import initialize_config_dir

    with initialize_config_dir(version_base="1.3", config_dir=str(conf_dir())):
        yield


def _compose(verb: str, overrides: Sequence[str], *, throw_on_missing: bool = False) -> dict[str, Any]:
    from hydra import compose as hydra_compose
    from hydra.core.utils import setup_globals
    from omegaconf import OmegaConf

    setup_globals()  # ${now:...} is known only once Hydra has set it up
    config = hydra_compose(verb, list(overrides))
    values = OmegaConf.to_container(config, resolve=True, throw_on_missing=throw_on_missing)
    assert isinstance(values, dict)
    return values


def _checked(verb: str, texts: Sequence[str], multirun: bool, problems: list[str]) -> list[Any]:
    """Parse the overrides; what is unknown goes into `problems`, the rest comes back."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import OverrideParseException

    parser, menu, parsed = OverridesParser.create(), groups(), []
    for text in texts:
        try:
            override = parser.parse_override(text)
        except OverrideParseException:
            problems.append(f"{text!r} is not of the form field=value. Quote it for the shell if it holds brackets, commas or spaces.")
            continue
        if override.is_sweep_override() and not multirun:
            problems.append(f"{text}: several values need a multirun: write `gender-lightning {verb} -m {text}`.")
        else:
            parsed.append(override)
    chosen = [override for override in parsed if not _group_problem(override, menu, problems)]
    fields = [override for override in chosen if override.key_or_group not in menu and not override.key_or_group.startswith("hydra")]
    group_texts = [_single(override) for override in chosen if override.key_or_group in menu]
    known = _compose(verb, group_texts)
    unknown = [override for override in fields if not _known(override, known)]
    for override in unknown:
        problems.append(f"{override.key_or_group}: there is no such field. {suggestion(override.key_or_group, [*_flat(known), *menu])}")
    return [override for override in chosen if override not in unknown]


def _group_problem(override: Any, menu: Mapping[str, list[str]], problems: list[str]) -> bool:
    """Whether a choice of a group is none of its files (a mapping instead of a name included)."""
    group = override.key_or_group
    if group not in menu or override.is_delete():
        return False
    before = len(problems)
    for choice in _values(override):
        if choice is not None and str(choice) not in menu[group]:
            problems.append(f"{group}={choice}: there is no conf/{group}/{choice}.yaml. {suggestion(str(choice), menu[group])}")
    return len(problems) > before


def _known(override: Any, values: Mapping[str, Any]) -> bool:
    """Whether the dotted key is in the composed config, or inside a mapping that takes any key."""
    if override.is_add() or override.is_force_add():
        return True
    node: Any = values
    for part in override.key_or_group.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return False
        node = node[part]
    return True


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in values.items():
        yield f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")


def _values(override: Any) -> list[Any]:
    """The value of an override, or all those of a finite sweep over it."""
    if not override.is_sweep_override():
        return [override.value()]
    if override.is_discrete_sweep():
        return list(override.sweep_iterator())
    return []


def _single(override: Any, position: int = 0) -> str:
    """The override as text, with one value where it sweeps over several."""
    if not override.is_sweep_override():
        return str(override.input_line)
    texts = list(override.sweep_string_iterator()) if override.is_discrete_sweep() else []
    return f"{override.get_key_element()}={texts[min(position, len(texts) - 1)]}" if texts else ""


def _variants(overrides: Sequence[Any]) -> Iterator[list[str]]:
    """Override lists that hold every value of every sweep at least once."""
    lengths = [len(_values(override)) for override in overrides if override.is_sweep_override()]
    for position in range(max([1, *lengths])):
        texts = (_single(override, position) for override in overrides)
        yield [text for text in texts if text]


def _schema_problems(verb: str, overrides: Sequence[str]) -> list[str]:
    from hydra.errors import HydraException
    from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

    try:
        parse_config(ROOTS[verb], _compose(verb, overrides, throw_on_missing=True))
    except UserErrors as error:
        return error.messages
    except MissingMandatoryValue as error:
        return [f"{error.full_key}: a value is missing. Give {error.full_key}=... on the command line."]
    except (HydraException, OmegaConfBaseException) as error:
        return [str(error).splitlines()[0]]
    return []


def _with_data_of_run(overrides: list[str]) -> list[str]:
    """For `evaluate`: the data section of the run the checkpoint lies in, unless `data=` names another."""
    problems = [
        f"{text}: the framing belongs to the checkpoint and cannot be changed here. Leave it out."
        for text in overrides
        if text.partition("=")[0] in {f"data.{name}" for name in _FRAMING}
    ]
    if problems:
        raise UserErrors(problems)
    given = {text.partition("=")[0]: text.partition("=")[2] for text in overrides}
    if "data" in given or "checkpoint" not in given:
        return overrides
    directory = _run_directory(Path(given["checkpoint"].strip("'\"")))
    if directory is None:
        return overrides
    from gender_lightning.runs import Run

    section = Run.open(directory).config().get("data")
    if not isinstance(section, dict) or "name" not in section:
        raise UserError(f"{directory / 'config.yaml'} has no data section. Say which data to use: data=celeba data.root=...")
    own = [f"data={section['name']}"]
    own += [f"data.{key}={_hydra_value(value)}" for key, value in section.items() if key != "name"]
    return own + overrides


def _run_directory(checkpoint: Path) -> Path | None:
    candidates = [checkpoint, *checkpoint.absolute().parents[:2]]
    return next((path for path in candidates if (path / "run.json").is_file()), None)


def _hydra_value(value: Any) -> str:
    """A plain value in Hydra's override grammar."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_hydra_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(_hydra_value(item) for item in value) + "]"
    if isinstance(value, (int, float)):
        return str(value)
    escaped = str(value).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
