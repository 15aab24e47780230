"""Overrides are checked before Hydra composes them: Hydra stops at the first mistake, people make several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

from gender_lightning.config.validation import short, suggestion
from gender_lightning.errors import UserErrors
from gender_lightning.overrides.composing import fields_with, groups, hydra_at_conf, menu_of
from gender_lightning.overrides.fields import is_known, nearest
from gender_lightning.overrides.of_run import with_data_of_run
from gender_lightning.overrides.parsing import Override, parse
from gender_lightning.overrides.schema import mistakes, schema_problems

# Verbs whose data section starts as that of the checkpoint's run.
_OF_A_RUN = ("evaluate", "export")
# Up to so many jobs of a sweep are each checked before the first starts; above, each value once.
_JOBS_CHECKED = 16


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
    with hydra_at_conf():
        if not multirun and not problems and not mistakes(verb, texts):  # as it mostly is: no diagnosis is waited for
            return
        menu, fields = menu_of(verb), fields_with(verb)
        overrides = [parse(verb, text, multirun, fields, problems) for text in texts]
        problems += [_searches_problem(it) for it in overrides if it and it.key == "search" and len(it.texts) > 1]
        chosen = [it for it in overrides if it and not _group_problems(it, menu, problems)]
        for variant in _variants(chosen):
            problems += [problem for problem in _field_problems(verb, variant, menu) if problem not in problems]
    if problems:
        raise UserErrors([short(problem) for problem in problems])


def _is_multirun(arguments: Sequence[str]) -> bool:
    return any(argument in ("-m", "--multirun") for argument in arguments)


def _group_problems(override: Override, menu: dict[str, list[str]], problems: list[str]) -> bool:
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


def _variants(overrides: Sequence[Override]) -> Iterator[list[tuple[Override, str]]]:
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


def _field_problems(verb: str, variant: list[tuple[Override, str]], menu: dict[str, list[str]]) -> list[str]:
    """What is wrong with the fields of one job, given its choices of groups."""
    choices = [text for override, text in variant if override.key in menu]
    known = fields_with(verb, *choices)
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
        elif not schema_problems(verb, {**dict.fromkeys(choices, ""), f"+{text}": key}):
            problems.append(f"{text}: there is no such field yet. To add it, write +{text}.")
        else:
            problems.append(f"{key}: there is no such field. {nearest(key, known, list(menu))}")
    return problems + schema_problems(verb, good)


def _searches_problem(override: Override) -> str:
    return f"{override.parsed.input_line}: one search at a time. Start with {override.texts[0]}."
