"""Checks of overrides before Hydra composes them: Hydra stops at the first mistake, but people make several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

from gender_lightning.building import OPTIMIZER
from gender_lightning.building import check as check_section
from gender_lightning.config.validation import UnknownField, close_to, short, suggestion
from gender_lightning.errors import UserError, UserErrors
from gender_lightning.overrides.composing import (
    fields_with,
    groups,
    hydra_at_conf,
    menu_of,
    parser_of,
    where_choices_lie,
)
from gender_lightning.overrides.fields import alike_beside, is_known, nearest
from gender_lightning.overrides.of_run import Folders, with_data_of_run, with_fields_of_resumed
from gender_lightning.overrides.own_folders import KEY, gathered, of_texts
from gender_lightning.overrides.parsing import Override, parse
from gender_lightning.overrides.paths import quoted
from gender_lightning.overrides.schema import MissingValue, mistakes, schema_problems
from gender_lightning.verbs import COMMANDS

# Up to this number of jobs, each job of a sweep is checked before the first starts; above, each value once.
_JOBS_CHECKED = 16
_TARGET = "optimizer._target_"


def complete(verb: str, overrides: Sequence[str]) -> list[str]:
    """Add the overrides that a command implies, turn `--config-dir` into an override, and quote file names.

    `evaluate`, `refit` and `export` start from the data section of the checkpoint's run; `train -m` with an
    `interval(...)` is a search.
    """
    overrides = gathered(overrides)
    if COMMANDS[verb].data_of_run:
        folders: dict[str, Folders] = {"evaluate": "whole", "refit": "halves"}
        data_added = with_data_of_run(overrides, folders=folders.get(verb))
        return [quoted(text) for text in data_added]
    if verb == "train" and any(text.startswith("resume=") for text in overrides):
        with hydra_at_conf():
            return with_fields_of_resumed([quoted(text) for text in overrides], fields_with(verb))
    ranges = any("interval(" in text for text in overrides)
    chosen = any(text.startswith("search=") for text in overrides)
    if COMMANDS[verb].swept and ranges and _is_multirun(overrides) and not chosen:
        return [*overrides, "search=default"]  # a continuous range can only mean a search
    return [quoted(text) for text in overrides]


def check(verb: str, arguments: Sequence[str]) -> None:
    """Check every override of a command line against `conf/` and the schema.

    Raises:
        UserErrors: All mistakes at once.
    """
    multirun = _is_multirun(arguments)
    texts = [argument for argument in gathered(arguments) if not argument.startswith("-")]
    if any(text.startswith("resume=") for text in texts):
        texts = [text for text in texts if not text.startswith("++")]  # see `with_fields_of_resumed`
    problems = _way_of_running_problems(verb, texts, multirun)
    with hydra_at_conf():
        plain = not multirun and not any(text.startswith(("+optimizer.", "++optimizer.")) for text in texts)
        if plain and not problems and not mistakes(verb, texts):  # the usual case, which needs no diagnosis
            return
        own = of_texts(texts)
        menu, fields, parser = menu_of(verb, own), fields_with(verb, *own), parser_of(own)
        parsed = [parse(verb, text, multirun, fields, parser, problems) for text in texts]
        overrides = [override for override in parsed if override]
        problems += [_searches_problem(one) for one in overrides if one.key == "search" and len(one.texts) > 1]
        chosen = [one for one in overrides if not _group_problems(one, menu, own, problems)]
        for variant in _variants(chosen):
            problems += _field_problems(verb, variant, menu, own)
    wrong = {text.partition("=")[0].lstrip("+~") for text, one in zip(texts, parsed, strict=True) if not one}
    # a value is not missing where it is wrong, so that it was left out above, or where its name is misspelt
    wrong |= {one.field for one in problems if one.field and not isinstance(one, MissingValue)}
    missing = [one.field for one in problems if isinstance(one, MissingValue) and one.field]
    unknown = [one.field for one in problems if isinstance(one, UnknownField) and one.field]
    wrong |= {meant for field in unknown for meant in close_to(field, missing)}
    problems = [one for one in problems if not isinstance(one, MissingValue) or one.field not in wrong]
    if problems:
        unique = {str(problem): problem for problem in problems}
        raise UserErrors(
            [type(one)(short(one.problem), short(one.remedy), field=one.field) for one in unique.values()],
        )


def _way_of_running_problems(verb: str, texts: Sequence[str], multirun: bool) -> list[UserError]:
    """The mistake of a multirun of a command that has none, or of a search without a multirun."""
    if multirun and not COMMANDS[verb].swept:
        instead = "write models=[...]" if verb == "benchmark" else "use `gender-lightning train -m`"
        return [UserError(f"{verb} -m: only trainings are swept.", f"Leave -m out, or {instead}.")]
    if verb != "train" or multirun:
        return []
    return [
        UserError(f"{text}: a search needs a multirun.", f"Write `gender-lightning train -m {text}`.", field="search")
        for text in texts
        if text.startswith("search")
    ]


def _is_multirun(arguments: Sequence[str]) -> bool:
    return any(argument in ("-m", "--multirun") for argument in arguments)


def _group_problems(
    override: Override, menu: dict[str, list[str]], own: Sequence[str], problems: list[UserError]
) -> bool:
    """Add the problems of a choice of a group to `problems`. Returns whether there are any."""
    group, before = override.key, len(problems)
    if group not in menu or override.parsed.is_delete():
        return False
    offer = f"Choose one of: {', '.join(menu[group])}."
    if override.adds:
        problems.append(UserError(f"{override.texts[0]}: this group exists already.", "Leave out the + sign."))
    elif override.parsed.package is not None:
        told = f"{override.texts[0]}: a choice cannot be placed elsewhere."
        problems.append(UserError(told, "Leave out the @ part."))
    for text, choice in zip(override.texts, override.values, strict=True):
        if choice is None:
            problems.append(UserError(f"{text}: a group cannot be empty.", f"Leave it out. {offer}", field=group))
        elif not isinstance(choice, str | int | float):
            problems.append(UserError(f"{text}: {group} is a group of files, not a field.", offer, field=group))
        elif str(choice) not in menu[group]:
            missing = f"{group}={choice}: there is no {where_choices_lie(group, str(choice), own)}."
            problems.append(UserError(missing, suggestion(str(choice), menu[group]), field=group))
    return len(problems) > before


def _variants(overrides: Sequence[Override]) -> Iterator[list[tuple[Override, str]]]:
    """The jobs of a sweep; for a large one, jobs that contain every value at least once."""
    jobs = 1
    for override in overrides:
        jobs *= len(override.texts)
    if jobs <= _JOBS_CHECKED:
        for texts in product(*(override.texts for override in overrides)):
            yield list(zip(overrides, texts, strict=True))
    else:
        for position in range(max(len(override.texts) for override in overrides)):
            yield [(override, override.texts[min(position, len(override.texts) - 1)]) for override in overrides]


def _field_problems(
    verb: str, variant: list[tuple[Override, str]], menu: dict[str, list[str]], own: tuple[str, ...]
) -> list[UserError]:
    """The problems with the fields of one job, given its choices of groups."""
    choices = [text for override, text in variant if override.key in menu]
    known = fields_with(verb, *own, *choices)
    problems: list[UserError] = []
    good = dict.fromkeys((*own, *choices), "")
    for override, text in variant:
        key, there = override.key, is_known(override.key, known)
        if key in menu or key == KEY:
            continue
        if override.parsed.package is not None or (key in groups(own) and not override.adds):
            told = f"{text}: `{verb}` has no such group."
            problems.append(UserError(told, nearest(key, known, list(menu)), field=key))
        elif there and override.parsed.is_add():
            told = f"{text}: this field exists already."
            problems.append(UserError(told, "Leave out the + sign.", field=key))
        elif there or override.adds or key.startswith("hydra"):
            good[text] = key
        else:
            problems.append(_unknown(verb, key, text, known, [*own, *choices], menu))
    for text, key in good.items():
        if text.startswith("+") and key.startswith("optimizer."):
            problems += _argument_problem(verb, key, [other for other, field in good.items() if field in ("", _TARGET)])
    return problems + schema_problems(verb, good)


def _unknown(
    verb: str, key: str, text: str, known: dict[str, Any], choices: list[str], menu: dict[str, list[str]]
) -> UserError:
    """The problem of a field that does not exist: it is misspelt, or may be added with a plus sign."""
    free = not alike_beside(key, known) and not schema_problems(verb, {**dict.fromkeys(choices, ""), f"+{text}": key})
    if not free:
        return UnknownField(f"{key}: there is no such field.", nearest(key, known, list(menu)), field=key)
    if key.startswith("optimizer.") and (wrong := _argument_problem(verb, key, choices)):
        return wrong[0]
    return UnknownField(f"{text}: there is no such field.", f"To add it, write +{text}.", field=key)


def _argument_problem(verb: str, key: str, texts: Sequence[str]) -> list[UserError]:
    """The problem of an argument that the optimizer does not have; the schema allows any name, its signature not."""
    section = fields_with(verb, *texts).get("optimizer", {})
    wanted = {name: section.get(name) for name in ("_target_", "lr")} | {key.removeprefix("optimizer."): None}
    try:
        check_section(wanted, OPTIMIZER, positional=1)
    except UserError as error:
        return [UserError(f"{key}: {error.problem}", error.remedy, field=key)]
    return []


def _searches_problem(override: Override) -> UserError:
    told = f"{override.parsed.input_line}: one search at a time."
    return UserError(told, f"Start with {override.texts[0]}.", field="search")
