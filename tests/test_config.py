"""Everything under `conf/` is valid, and every kind of mistake becomes a sentence with the field's name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import gender_lightning
from gender_lightning.config import DataCommandConfig, EvaluateConfig, TrainConfig, parse_config
from gender_lightning.config.location import conf_dir
from gender_lightning.config.validation import UnknownField
from gender_lightning.errors import UserErrors
from gender_lightning.overrides import compose, groups
from gender_lightning.verbs import COMMANDS

CHOICES = [f"{group}={choice}" for group, choices in groups().items() for choice in choices]
# groups that there are only beside a choice of another, and choices that need a field
WITHIN = {"search/": ["search=default"], "loss=distill": ["loss.teacher=[runs/A]"]}


@pytest.fixture(scope="module")
def _values() -> dict[str, Any]:
    return compose("train")


@pytest.fixture
def values(_values: dict[str, Any]) -> dict[str, Any]:
    """The default training, free to be changed."""

    def copy(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: copy(value) for key, value in node.items()}
        return list(node) if isinstance(node, list) else node

    copied: dict[str, Any] = copy(_values)
    return copied


def put(values: dict[str, Any], path: str, value: object) -> None:
    *sections, last = path.split(".")
    for section in sections:
        values = values[section]
    values[last] = value


def messages(values: dict[str, Any]) -> list[str]:
    with pytest.raises(UserErrors) as caught:
        parse_config(TrainConfig, values)
    return caught.value.messages


@pytest.mark.parametrize("choice", CHOICES)
def test_every_file_is_valid(choice: str) -> None:
    beside = [other for prefix, choices in WITHIN.items() if choice.startswith(prefix) for other in choices]
    config = parse_config(TrainConfig, compose("train", [*beside, choice]))
    assert config.run_dir.startswith(f"runs/{config.name}/")


@pytest.mark.parametrize("choice", [choice for choice in CHOICES if choice.startswith("data=")])
def test_every_data_set_is_valid_for_the_other_commands(choice: str) -> None:
    parse_config(EvaluateConfig, compose("evaluate", [choice, "checkpoint=x"]))
    parse_config(DataCommandConfig, compose("data", [choice]))


def test_no_file_is_forgotten() -> None:
    files = {str(file.relative_to(conf_dir()).with_suffix("")) for file in conf_dir().rglob("*.yaml")}
    parts = {"_terminal", "data/_base", "loss/_base", "model/_base"}
    assert files == {choice.replace("=", "/") for choice in CHOICES} | set(COMMANDS) | parts
    modules = {file.stem for file in (Path(gender_lightning.__file__).parent / "commands").glob("*.py")}
    assert {verb.replace("-", "_") for verb in COMMANDS} <= modules


def test_a_recipe_wins_over_the_menu_and_the_command_line_over_the_recipe() -> None:
    deck = compose("train", ["experiment=deck"])
    assert deck["data"]["name"] == "celeba" and deck["optimizer"]["_target_"] == "torch.optim.Adam"
    assert compose("train", ["experiment=deck", "data.batch_size=7"])["data"]["batch_size"] == 7
    assert compose("train", ["model=resnet18", "experiment=deck"])["model"]["name"] == "resnet18"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("trainer.devices", "two", "trainer.devices=two: it should be a valid integer or 'auto'."),
        ("optimizer.lr", -1.0, "optimizer.lr=-1.0: it should be greater than 0."),
        ("seed", "1", "seed=1: it should be a valid integer."),
        ("seed", -1, "seed=-1: it should be greater than or equal to 0."),
        ("test", "yes", "test=yes: it should be a valid boolean."),
        ("data.crop", "round", "data.crop=round: it should be 'square', 'lower' or 'none'."),
        ("data.limit", 0, "data.limit=0: it should be greater than or equal to 1."),
        ("data.root", "", "data.root=: it should have at least 1 character."),
        ("data.name", "imagenet", "data.name=imagenet: it should be one of 'celeba', 'folder', 'synthetic'."),
        ("data.sizes.train", 0.5, "data.sizes: must be three counts (4000) or three fractions (0.8), not a mixture."),
        ("model.dropout", None, "model.dropout=null: it should be a valid number."),
        ("model.freeze", 2.5, "model.freeze=2.5: it should be 'none' or 'backbone' or a valid integer"),
        ("model.pretrained", 3, "model.pretrained=3: it should be a valid boolean or a valid string."),
        ("name", "a/b", "name=a/b: it should hold letters, digits and . _ + - only."),
        ("trainer.max_time", "3h", "trainer.max_time=3h: it should be DD:HH:MM:SS, such as 00:01:30:00."),
        ("callbacks.checkpoint.monitor", "test/accuracy", "it should be a metric of the valid split"),
        (
            "augmentation.random_scale",
            [1.2, 0.8],
            "random_scale=[1.2, 0.8] is not [smallest, largest]. Put the smaller number first.",
        ),
        ("augmentation.jpeg.quality", [90, 30], "augmentation: jpeg.quality=[90, 30] is not [smallest, largest]."),
        ("augmentation.jpeg.quality", [0, 30], "augmentation.jpeg.quality[0]=0: it should be greater than or equal"),
        ("augmentation.random_scale", [1.0], "augmentation.random_scale=[1.0]: it should have at least 2 items"),
        ("augmentation.color_jitter.hue", 0.6, "augmentation.color_jitter.hue=0.6: it should be less than or equal to"),
        ("trainer.device", 2, "trainer.device: there is no such field. Did you mean 'devices'?"),
        ("scheduler.gamma", 0.1, "scheduler.gamma: there is no such field."),
        ("augmentation.progressive", [{"until": 0.5}], "progressive[0].image_size: this field is missing."),
    ],
)
def test_a_mistake_is_one_sentence_with_the_fields_name(
    values: dict[str, Any], path: str, value: object, message: str
) -> None:
    put(values, path, value)
    (said,) = messages(values)
    assert said.startswith(message) or message in said
    assert said.startswith(path.partition(".")[0])
    assert "pydantic" not in said and "Input should" not in said


def test_a_missing_section_is_named(values: dict[str, Any]) -> None:
    del values["logger"]
    assert messages(values) == ["logger: this field is missing. Give logger=..."]


def test_all_mistakes_are_listed_at_once(values: dict[str, Any]) -> None:
    for path, value in (("trainer.devices", 0), ("optimizer.lr", "fast"), ("dta", 1), ("data.zoom", 3)):
        put(values, path, value)
    starts = {said.partition(":")[0] for said in messages(values)}
    assert starts == {"trainer.devices=0", "optimizer.lr=fast", "dta", "data.zoom=3"}
    with pytest.raises(UserErrors, match="^4 mistakes:\n- ") as caught:
        parse_config(TrainConfig, values)
    assert {mistake.field for mistake in caught.value.mistakes} == {
        "trainer.devices",
        "optimizer.lr",
        "dta",
        "data.zoom",
    }
    assert [mistake.field for mistake in caught.value.mistakes if isinstance(mistake, UnknownField)] == ["dta"]
    assert all(mistake.problem.endswith(".") for mistake in caught.value.mistakes)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["scheduler=plateau", "scheduler.monitor=train/loss"],
            "scheduler.monitor=train/loss is not a metric of the valid split",
        ),
        (["model.freeze=backbone", "model.layer_decay=0.5"], "model.layer_decay has no effect with model.freeze="),
        (["model.freeze=5", "trainer.max_epochs=5"], "write model.freeze=backbone."),
        (["trainer=cpu", "trainer.precision=16-mixed"], "Use trainer.precision=bf16-mixed on a CPU."),
        (
            ["augmentation.progressive=[{until:0.5,image_size:96}]"],
            "image_size=96 is larger than data.image_size. Give 64 or less.",
        ),
        (["data=celeba", "data.split=images"], "data: split=images needs data.sizes"),
        (["data=celeba", "data.sizes={train:1,valid:1,test:1}"], "Add data.split=images or data.split=identities."),
        (["data=folder", "data.sizes={train:0.9,valid:0.1,test:0.1}"], "fractions add up to 1.1. Give fractions"),
        (["data.sizes={train:0.8,valid:0.1,test:0.1}"], "the sizes of synthetic faces are counts"),
    ],
)
def test_a_contradiction_names_both_fields(overrides: list[str], message: str) -> None:
    (said,) = messages(compose("train", overrides))
    assert message in said


def test_contradictions_are_listed_together() -> None:
    said = messages(compose("train", ["trainer=cpu", "trainer.precision=16-mixed", "model.freeze=9"]))
    assert len(said) == 2


def test_a_config_cannot_be_changed_later(values: dict[str, Any]) -> None:
    config = parse_config(TrainConfig, values)
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 2  # type: ignore[misc]


def test_optimizers_take_their_own_arguments(values: dict[str, Any]) -> None:
    values["optimizer"] = {"_target_": "torch.optim.SGD", "lr": 0.1, "momentum": 0.9}
    config = parse_config(TrainConfig, values)
    assert config.optimizer.section() == {**values["optimizer"], "weight_decay": 0.0}


def test_the_default_rate_is_the_backbones_and_a_typed_one_the_users() -> None:
    assert compose("train")["optimizer"]["lr"] == 1e-3
    assert compose("train", ["model=vgg19"])["optimizer"]["lr"] == 1e-4
    assert compose("train", ["model=vgg19", "optimizer=sgd"])["optimizer"]["lr"] == 0.002
    assert compose("train", ["model=vgg19", "optimizer.lr=0.5"])["optimizer"]["lr"] == 0.5
    assert compose("train", ["model.lr_factor=0.5", "optimizer=lion"])["optimizer"]["lr"] == 5e-5


@pytest.mark.parametrize(("image_size", "side"), [(96, 64), (48, 32), (64, 40), (224, 152), (16, 16)])
def test_sizes_early_in_a_training_follow_the_image_size(image_size: int, side: int) -> None:
    values = compose("train", ["experiment=robust", f"data.image_size={image_size}"])
    assert values["augmentation"]["progressive"] == [{"until": 0.75, "image_size": side}]
    parse_config(TrainConfig, values)
