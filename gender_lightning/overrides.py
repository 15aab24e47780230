"""Overrides are checked before Hydra composes them: Hydra stops at the first mistake, people make several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import product
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
from gender_lightning.config.location import conf_dir
from gender_lightning.config.resolvers import register_resolvers
from gender_lightning.config.validation import short, suggestion
from gender_lightning.errors import UserError, UserErrors
from gender_lightning.override_fields import extends, flat, is_known, nearest, path_of
from gender_lightning.run_overrides import with_data_of_run

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
# Verbs whose data section starts as that of the checkpoint's run.
_OF_A_RUN = ("evaluate", "export")
# Up to so many jobs of a sweep are each checked before the first starts; above, each value once.
_JOBS_CHECKED = 16
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


@dataclass(frozen=True)
class _Override:
    """One override of the command line with its values, several of them in a sweep."""

    parsed: Any  # hydra's Override
    texts: tuple[str, ...]  # `key=value`, one per value
    values: tuple[Any, ...]

    @property
    def key(self) -> str:
        return str(self.parsed.key_or_group)

    @property
    def adds(self) -> bool:
        return bool(self.parsed.is_add() or self.parsed.is_force_add())


def complete(verb: str, overrides: Sequence[str]) -> list[str]:
    """Add what a command knows by itself.

    `evaluate` and `export` start from the data section of the checkpoint's run; `train -m` with an
    `interval(...)` is a search.
    """
    if verb in _OF_A_RUN:
        return with_data_of_run(list(overrides))
    ranges = any("interval(" in text for text in overrides)
    if verb == "train" and ranges and _is_multirun(overrides) and not any(it.startswith("search=") for it in overrides):
        return [*overrides, "search=default"]  # which a range without end can only mean
    return list(overrides)


def check(verb: str, arguments: Sequence[str]) -> None:
    """Check every override of a command line against `conf/` and the schema.

    Raises:
        UserErrors: all mistakes at once.
    """
    multirun = _is_multirun(arguments)
    texts = [argument for argument in arguments if not argument.startswith("-")]
    problems: list[str] = []
    if multirun and verb != "train":
        instead = "write models=[...]" if verb == "benchmark" else "use `gender-lightning train -m`"
        problems.append(f"{verb} -m: only trainings are swept. Leave -m out, or {instead}.")
    if verb == "train" and not multirun:
        problems += [
            f"{it}: a search needs a multirun: write gender-lightning train -m {it}."
            for it in texts
            if it.startswith("search")
        ]
    with _hydra_at_conf():
        if not multirun and not problems and _is_right(verb, texts):
            return
        menu, fields = _menu(verb), _fields(verb)
        overrides = [_parse(verb, text, multirun, fields, problems) for text in texts]
        problems += [_searches_problem(it) for it in overrides if it and it.key == "search" and len(it.texts) > 1]
        chosen = [it for it in overrides if it and not _group_problems(it, menu, problems)]
        for variant in _variants(chosen):
            problems += [problem for problem in _field_problems(verb, variant, menu) if problem not in problems]
        if not problems and any(text.startswith("search=") for text in texts):
            problems += _space_problems([it.parsed for it in overrides if it])
    if problems:
        raise UserErrors([short(problem) for problem in problems])


def compose(verb: str, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The plain, resolved mapping that `conf/<verb>.yaml` and the overrides give (for tests and notebooks)."""
    with _hydra_at_conf():
        return _compose(verb, overrides)


def _is_multirun(arguments: Sequence[str]) -> bool:
    return any(argument in ("-m", "--multirun") for argument in arguments)


def groups() -> dict[str, list[str]]:
    """The menu: every group of `conf/` with its choices."""
    folders = sorted(path for path in conf_dir().rglob("*") if path.is_dir())
    menu = {str(path.relative_to(conf_dir())): sorted(file.stem for file in path.glob("*.yaml")) for path in folders}
    return {group: choices for group, choices in menu.items() if choices}


@contextmanager
def _hydra_at_conf() -> Iterator[None]:
    import yaml
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    register_resolvers()
    try:
        if GlobalHydra.instance().is_initialized():  # inside a command, which Hydra has started from the same conf/
            yield
            return
        with initialize_config_dir(version_base="1.3", config_dir=str(conf_dir())):
            yield
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"A file of conf/ cannot be read ({reason}). Mend it, or choose another.") from None


def _compose(verb: str, overrides: Sequence[str]) -> dict[str, Any]:
    from hydra import compose as hydra_compose

    return _plain(hydra_compose(verb, list(overrides)))


def _plain(config: Any) -> dict[str, Any]:
    """Plain and resolved, without Hydra's own section."""
    from hydra.core.utils import setup_globals
    from omegaconf import OmegaConf, open_dict

    setup_globals()  # ${now:...} is known only once Hydra has set it up
    with open_dict(config):
        config.pop("hydra", None)
    values = OmegaConf.to_container(config, resolve=True)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


@cache
def _menu(verb: str) -> dict[str, list[str]]:
    """The groups that this command's root uses."""
    from hydra import compose as hydra_compose

    chosen = ["search=default"] if verb == "train" else []  # for the groups within a search
    used = hydra_compose(verb, chosen, return_hydra_config=True).hydra.runtime.choices
    return {group: choices for group, choices in groups().items() if group in used}


@cache
def _fields(verb: str, *choices: str) -> dict[str, Any]:
    """The fields that there are with these choices of groups."""
    return _compose(verb, choices)


def _parse(verb: str, text: str, multirun: bool, fields: dict[str, Any], problems: list[str]) -> _Override | None:
    """Parse one override; what is wrong with its form goes into `problems`."""
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    try:
        (parsed,) = parser.parse_overrides([text])
    except (HydraException, ValueError):  # ValueError: a number of thousands of digits
        problems.append(_form_problem(text))
        return None
    if not parsed.key_or_group:
        problems.append(_form_problem(text))
        return None
    key = parsed.key_or_group
    if not parsed.is_sweep_override():
        return _Override(parsed, (text,), (parsed.value(),))
    if not multirun:
        problems.append(_sweep_problem(verb, key, text, fields))
        return None
    if not parsed.is_discrete_sweep():
        interval: Any = parsed.value()
        ends = (interval.start, interval.end)
        return _Override(parsed, tuple(f"{parsed.get_key_element()}={end}" for end in ends), ends)
    # Once only: a shuffled sweep comes in another order each time.
    values = tuple(parsed.sweep_string_iterator())
    texts = tuple(f"{parsed.get_key_element()}={value}" for value in values)
    return _Override(parsed, texts, tuple(parser.parse_override(text).value() for text in texts))


def _sweep_problem(verb: str, key: str, text: str, fields: dict[str, Any]) -> str:
    required = fields.get(key) == "???" and "list" in str(ROOTS[verb].model_fields[key].annotation)
    if required or any(name == key and isinstance(default, list) for name, default in flat(fields)):
        return f"{text}: a list has brackets. Write {key}=[{text.partition('=')[2]}]."
    if verb != "train":
        return f"{text}: `{verb}` takes one value. Give one."
    return f"{text}: several values need a multirun: write `gender-lightning train -m {text}`."


def _form_problem(text: str) -> str:
    key, equals, value = text.partition("=")
    if not equals:
        return f"{text!r} is not of the form field=value. Write the value behind an equals sign: {key}=..."
    return f"""{text}: this value needs quotes, for Hydra and around them for the shell: '{key}="{value}"'."""


def _group_problems(override: _Override, menu: dict[str, list[str]], problems: list[str]) -> bool:
    """Whether a choice of a group is none of its files."""
    group, before = override.key, len(problems)
    if group not in menu or override.parsed.is_delete():
        return False
    offer = f"Choose one of: {', '.join(menu[group])}."
    if override.adds:
        problems.append(f"{override.texts[0]}: the group is on the menu already. Leave out the + sign.")
    elif override.parsed.package is not None:
        problems.append(f"{override.texts[0]}: a choice goes to its own place only. Leave out the @ part.")
    for text, choice in zip(override.texts, override.values, strict=True):
        if choice is None:
            problems.append(f"{text}: a group cannot be empty. Leave it out. {offer}")
        elif not isinstance(choice, str | int | float):
            problems.append(f"{text}: {group} is a group of files, not a field. {offer}")
        elif str(choice) not in menu[group]:
            missing = f"there is no conf/{group}/{choice}.yaml"
            problems.append(f"{group}={choice}: {missing}. {suggestion(str(choice), menu[group])}")
    return len(problems) > before


def _variants(overrides: Sequence[_Override]) -> Iterator[list[tuple[_Override, str]]]:
    """The jobs of a sweep; of a large one, jobs that hold every value at least once."""
    jobs = 1
    for override in overrides:
        jobs *= len(override.texts)
    if jobs <= _JOBS_CHECKED:
        for texts in product(*(override.texts for override in overrides)):
            yield list(zip(overrides, texts, strict=True))
    else:
        for position in range(max(len(override.texts) for override in overrides)):
            yield [(override, override.texts[min(position, len(override.texts) - 1)]) for override in overrides]


def _field_problems(verb: str, variant: list[tuple[_Override, str]], menu: dict[str, list[str]]) -> list[str]:
    """What is wrong with the fields of one job, given its choices of groups."""
    choices = [text for override, text in variant if override.key in menu]
    known = _fields(verb, *choices)
    problems, good = [], dict.fromkeys(choices, "")
    for override, text in variant:
        key, there = override.key, is_known(override.key, known)
        if key in menu:
            continue
        if override.parsed.package is not None or (key in groups() and not override.adds):
            problems.append(f"{text}: `{verb}` has no such group. {nearest(key, known, list(menu))}")
        elif there and override.parsed.is_add():
            problems.append(f"{text}: the field is there already. Leave out the + sign.")
        elif there or override.adds or key.startswith("hydra"):
            good[text] = key
        elif not _schema_problems(verb, {**dict.fromkeys(choices, ""), f"+{text}": key}):
            problems.append(f"{text}: there is no such field yet. To add it, write +{text}.")
        else:
            problems.append(f"{key}: there is no such field. {nearest(key, known, list(menu))}")
    return problems + _schema_problems(verb, good)


def _searches_problem(override: _Override) -> str:
    return f"{override.parsed.input_line}: one search at a time. Start with {override.texts[0]}."


def _space_problems(overrides: list[Any]) -> list[str]:
    """What is wrong with the space of a search: each end of a range and each choice must be a training."""
    from hydra import compose as hydra_compose

    from gender_lightning.sweeps.jobs import plain_overrides
    from gender_lightning.sweeps.search.plan import make_plan

    fixed = [str(it.input_line) for it in overrides if not it.is_sweep_override()]
    swept = [str(it.input_line) for it in overrides if it.is_sweep_override()]
    config = hydra_compose("train", fixed, return_hydra_config=True)
    plain = plain_overrides(fixed)
    try:
        plan = make_plan(config, plain, swept, devices_of=lambda point: 1, directory=conf_dir())
    except UserErrors as error:
        return error.messages
    except UserError as error:
        return [str(error)]
    found: dict[str, None] = {}
    for point in plan.space.corners():
        found |= dict.fromkeys(_mistakes("train", [*plain, *plan.space.overrides(point)]))
    return list(found)


def _schema_problems(verb: str, overrides: dict[str, str]) -> list[str]:
    """Every mistake in the values; `overrides` are the texts with their keys (none for a choice of a group).

    A contradiction between fields shows only where each field is right by itself. So what was found wrong
    is left out, and the rest is looked at again.
    """
    problems: list[str] = []
    texts = dict(overrides)
    while found := _mistakes(verb, list(texts)):
        problems += [problem for problem in found if problem not in problems]
        wrong = {path_of(problem) for problem in found} - {""}
        rest = {text: key for text, key in texts.items() if not any(extends(path, key) for path in wrong)}
        if len(rest) == len(texts):
            break
        texts = rest
    return problems


def _is_right(verb: str, texts: list[str]) -> bool:
    """Whether the whole composes and validates at once, as it mostly does: then no diagnosis is waited for."""
    return not _mistakes(verb, texts)


def _mistakes(verb: str, texts: list[str]) -> list[str]:
    from hydra import compose as hydra_compose
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    try:
        composed = hydra_compose(verb, texts, return_hydra_config=True)
        if planted := _planted(verb, composed.hydra, texts):
            return planted
        values = _plain(composed)
    except (HydraException, OmegaConfBaseException, *_HYDRAS_SLIPS) as error:
        return [_composition_problem(verb, error)]
    missing = [name for name, value in flat(values) if value == "???"]
    problems = [f"{name}: a value is missing. Give {name}=... on the command line." for name in missing]
    try:
        parse_config(ROOTS[verb], values)
    except UserErrors as error:
        problems += error.messages
    return problems


def _planted(verb: str, hydra: Any, texts: list[str]) -> list[str]:
    """What a file (an experiment of somebody else) would have Hydra itself call or import, beside the training.

    Hydra instantiates every `_target_` of its own section, and Python's logging every factory. What the command
    line itself says of it is its owner's.
    """
    from omegaconf import OmegaConf

    typed = {text.lstrip("+~").replace("/", ".").partition("=")[0] for text in texts}
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
