"""The help of every command is made from its schema and `conf/`, and what it says is right."""

from __future__ import annotations

import re
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from gender_lightning.config import DataConfig, LossConfig, TrainConfig, parse_config
from gender_lightning.config.base import Section
from gender_lightning.data.kinds import KINDS, words_of
from gender_lightning.overrides import compose, groups
from gender_lightning.overrides.fields import flat
from gender_lightning.usage.defaults import composed, shown
from gender_lightning.usage.fields import kind_of, members_of, rows
from gender_lightning.usage.outline import sections_of
from gender_lightning.usage.page import page
from gender_lightning.verbs import COMMANDS


def sections(schema: type[BaseModel]) -> set[type[BaseModel]]:
    """The schema and every section in it, of each kind."""
    found: set[type[BaseModel]] = {schema}

    def walk(annotation: Any) -> None:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            found.update(sections(annotation))
        for argument in get_args(annotation):
            walk(argument)

    for field in schema.model_fields.values():
        walk(field.annotation)
    return found


def help_of(verb: str) -> str:
    values, menu = composed(verb)
    return page(COMMANDS[verb], menu, values)


@pytest.mark.parametrize("verb", COMMANDS)
def test_the_quick_defaults_are_hydras(verb: str) -> None:
    ours, theirs = dict(flat(composed(verb)[0])), dict(flat(compose(verb)))
    ours = {name: value for name, value in ours.items() if "${" not in str(value)}
    differing = {name: (value, theirs.get(name)) for name, value in ours.items() if _number(value) != theirs.get(name)}
    assert not differing
    leaves = {name for name, value in theirs.items() if not isinstance(value, dict)}
    assert leaves - set(ours) <= {"run_dir", "output", "optimizer.lr"}, "the interpolations"


def _number(value: object) -> object:
    """YAML 1.1 has no exponents without a point and a sign."""
    return float(value) if isinstance(value, str) and re.fullmatch(r"\d+(\.\d+)?e-?\d+", value) else value


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_field_is_told_with_its_default(verb: str) -> None:
    text = help_of(verb)
    told = {line.strip().partition("=")[0] for line in text.splitlines() if line.startswith("  ") and "=" in line}
    missing = [name for name, value in flat(compose(verb)) if name not in told and not isinstance(value, dict)]
    assert not [name for name in missing if not name.endswith(".name") and not name.startswith("model.arguments.")]
    for group, choices in groups().items():
        if group in dict(composed(verb)[1]):
            assert f" {group}: {', '.join(choices)} " in " ".join(text.split())
    assert max(len(line) for line in text.splitlines()) <= 140
    for example, _ in COMMANDS[verb].examples:
        assert f"gender-lightning {example}" in text


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_field_and_section_says_what_it_is(verb: str) -> None:
    for section in sections(COMMANDS[verb].schema):
        assert section.__doc__, section
        for name, field in section.model_fields.items():
            holds_fields = issubclass(section, Section) and (members_of(field) or list(_inner(field.annotation)))
            assert holds_fields or field.description, f"{section.__name__}.{name} has no description"
            assert not (field.description or "").startswith(("of ", "Of ")), f"{section.__name__}.{name}"


def _inner(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield from rows(annotation)
    for argument in get_args(annotation):
        yield from _inner(argument)


def test_one_field_in_full() -> None:
    text = " ".join(help_of("train").split())
    assert "data.image_size=64 side of the model's square input, px (whole number, 16 to 2048)" in text
    assert "optimizer.lr=1.0e-3*model.lr_factor peak learning rate (number above 0)" in text
    assert "run_dir=runs/<name>/<date>_<time> run directory" in text
    assert "checkpoint=... (required) run directory, .ckpt or .safetensors file, hf://user/name" in " ".join(
        help_of("predict").split()
    )
    assert "with data=celeba: CelebA" in text and "data.sizes=null" in help_of("data")
    assert set(sections_of(COMMANDS["train"])) >= {"data", "model", "loss", "optimizer", "trainer", "search"}


def test_kinds_of_values_in_words() -> None:
    kinds = {row.name: row.kind for row in rows(TrainConfig)}
    assert kinds["model.dropout"] == "number from 0 and below 1"
    assert kinds["model.freeze"] == "none | backbone | whole number from 1"
    assert kinds["augmentation.progressive"] == "list of {until, image_size}"
    assert kinds["resume"] == "text | null"
    assert kind_of(dict[str, int]) == "mapping"
    assert shown({"a": [None, True, 0.5]}) == "{a: [null, true, 0.5]}"


def test_data_kinds_are_those_of_the_schema_and_of_conf() -> None:
    schemas = get_args(get_args(DataConfig)[0])
    assert {kind.schema for kind in KINDS.values()} == set(schemas)
    assert set(KINDS) == set(groups()["data"])
    assert "which this version of the package does not know" in words_of("imagenet").about
    assert "evil | <b>" in words_of("evil | <b>").shown


def test_a_run_from_before_losses_had_names_is_read() -> None:
    values = compose("train")
    values["loss"] = {"label_smoothing": 0.1, "class_weights": "none"}
    config = parse_config(TrainConfig, values)
    assert (config.loss.name, config.loss.label_smoothing) == ("bce", 0.1)
    assert parse_config(TrainConfig, compose("train", ["loss=focal"])).loss.gamma == 2.0
    assert get_args(LossConfig)
