"""Every mistake on a command line is told at once, with what to write instead."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from gender_lightning.errors import UserError, UserErrors
from gender_lightning.overrides import complete, compose, groups
from gender_lightning.overrides.of_run import hydra_value
from gender_lightning.overrides.paths import quoted
from gender_lightning.running import check_overrides
from gender_lightning.runs import to_yaml


def mistakes(verb: str, *arguments: str) -> list[str]:
    with pytest.raises(UserError) as caught:
        check_overrides(verb, list(arguments))
    return caught.value.messages if isinstance(caught.value, UserErrors) else [str(caught.value)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model=vgg18", "model=vgg18: there is no conf/model/vgg18.yaml. Did you mean 'vgg19'?"),
        ("experiment=dek", "experiment=dek: there is no conf/experiment/dek.yaml. Did you mean 'deck'?"),
        ("modle=vgg19", "modle: there is no such field. Did you mean 'model'?"),
        ("trainer.device=2", "trainer.device: there is no such field. Did you mean 'trainer.devices'?"),
        ("data.imagesize=64", "data.imagesize: there is no such field. Did you mean 'data.image_size'?"),
        ("lr=0.1", "lr: there is no such field. Did you mean 'optimizer.lr'?"),
        ("+trainer.max_epoch=1", "trainer.max_epoch: there is no such field. Did you mean 'max_epochs'"),
        ("+serach=tpe", "serach: there is no such field."),
        ("+trainer.devices=2", "+trainer.devices=2: this field exists already. Leave out the + sign."),
        ("+model=vgg19", "+model=vgg19: this group exists already. Leave out the + sign."),
        ("++trainer.devices=two", "trainer.devices=two: it should be a valid integer or 'auto'."),
        ("optimizer.amsgrad=true", "To add it, write +optimizer.amsgrad=true."),
        ("optimizer.momentum=0.9", "optimizer.momentum: torch.optim.AdamW has no argument 'momentum'."),
        ("optimizer.lrr=1", "optimizer.lrr: there is no such field. Did you mean 'optimizer.lr'?"),
        ("optimizer.l=1", "optimizer.l: there is no such field. Did you mean 'optimizer.lr'?"),
        ("+optimizer.lrr=1", "optimizer.lrr: torch.optim.AdamW has no argument 'lrr'. Did you mean 'lr'?"),
        ("optimizer.betas=(0.9,0.99)", "a list has square brackets. Write 'optimizer.betas=[0.9,0.99]'."),
        (
            "name=1",
            """name=1: it should be a valid string. Put it in quotes, with others around them for the shell: """,
        ),
        ("model.arguments.width=2", "To add it, write +model.arguments.width=2."),
        ("seed=1,2", "seed=1,2: several values need a multirun. Write `gender-lightning train -m seed=1,2`."),
        ("model=vgg19,resnet18", "Write `gender-lightning train -m model=vgg19,resnet18`."),
        ("logger.tags=a,b", "logger.tags=a,b: a list has brackets. Write logger.tags=[a,b]."),
        ("experiment=null", "experiment=null: a group cannot be empty. Leave it out."),
        ("data={name:celeba}", "data is a group of files, not a field. Choose one of: celeba, folder, synthetic."),
        ("model@data=vgg19", "Leave out the @ part."),
        ("~logger", "logger: this field is missing."),
        ("vgg19", "'vgg19' is not of the form field=value."),
        (
            "data.root=/a=b",
            """Put it in quotes for Hydra, and in others around them for the shell: 'data.root="/a=b"'.""",
        ),
        ("data.root=${nowhere}", "data.root: Interpolation key 'nowhere' not found."),
        ("hydra.run.folder=x", "`gender-lightning train --cfg hydra` shows Hydra's own fields."),
    ],
)
def test_one_mistake(text: str, message: str) -> None:
    (said,) = mistakes("train", text)
    assert message in said


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["model=vgg19", "model.pretrained=true", "trainer.devices=2", "trainer.max_epochs=10", "optimizer.lr=3e-4"],
        ["+optimizer.foreach=true", "optimizer=sgd", "+optimizer.dampening=0.1", "name='1'"],
        [
            "optimizer._target_=torch.optim.SGD",
            "+optimizer.momentum=0.9",
            "~optimizer.betas",
            "+model.arguments.width=2",
            "data.limit=null",
            "seed=0",
        ],
        ["+callbacks.extra.timer={_target_:pytorch_lightning.callbacks.Timer}"],
        ["data.root='/a=b, c'", "logger.tags=[a,b]", "name=x-1.2", "hydra.verbose=false"],
        ["experiment=deck", "model=googlenet"],
        ["-m", "model=resnet18,resnet50", "seed=1,2"],
        ["-m", "model=glob(vgg*)", "seed=range(1,3)", "optimizer.lr=choice(0.1,0.2)"],
    ],
)
def test_what_is_right_passes(overrides: list[str]) -> None:
    check_overrides("train", overrides)


def test_the_remedy_for_quotes_is_right() -> None:
    (said,) = mistakes("train", "data.root=/a=b")
    remedy = said.partition("shell: '")[2].rstrip(".").removesuffix("'")
    assert compose("train", [remedy])["data"]["root"] == "/a=b"
    (said,) = mistakes("train", "name=1")
    assert compose("train", [said.partition("shell: '")[2].rstrip(".").removesuffix("'")])["name"] == "1"


def test_all_mistakes_at_once() -> None:
    said = mistakes(
        "train", "modle=vgg19", "data=celebb", "trainer.devices=two", "optimizer.lr=-1", "seed=1,2", "nonsense",
        "trainer.accelerator=cpu", "trainer.precision=16-mixed", "model.freeze=9",
    )  # fmt: skip
    starts = ["seed=1,2", "'nonsense'", "data=celebb", "modle", "optimizer.lr=-1", "trainer.devices=two"]
    assert [any(message.startswith(start) for message in said) for start in starts] == [True] * len(starts)
    assert any("bf16-mixed on a CPU" in message for message in said), "a contradiction shows beside wrong values"
    assert any("model.freeze=9" in message for message in said)
    assert len(said) == 8


def test_values_inside_a_sweep_are_checked_one_by_one() -> None:
    assert mistakes("train", "-m", "model=vgg19,resnet8,vgg20") == [
        "model=resnet8: there is no conf/model/resnet8.yaml. Did you mean 'resnet18'?",
        "model=vgg20: there is no conf/model/vgg20.yaml. Did you mean 'vgg19'?",
    ]
    assert mistakes("train", "-m", "seed=1,2,-3", "optimizer.lr=0.1,x") == [
        "optimizer.lr=x: it should be a valid number.",
        "seed=-3: it should be greater than or equal to 0.",
    ]


def test_a_contradiction_in_one_job_of_a_sweep_is_found() -> None:
    (said,) = mistakes("train", "-m", "model.freeze=backbone,2", "model.layer_decay=1.0,0.5")
    assert "model.layer_decay has no effect" in said
    (said,) = mistakes("train", "-m", "data=folder,celeba", "data.sizes.train=0.5")
    assert said.startswith("data.sizes.train: there is no such field.")


def test_a_field_of_an_experiment_that_another_choice_lacks_says_how_to_leave_it_out() -> None:
    line = ["experiment=celeba_mini", "scheduler=one_cycle"]
    (said,) = mistakes("train", *line)
    assert said.startswith("scheduler.warmup_epochs: there is no such field.")
    assert said.endswith("leave it out with ~scheduler.warmup_epochs")
    check_overrides("train", [*line, "~scheduler.warmup_epochs"])


def test_of_a_large_sweep_each_value_is_checked() -> None:
    seeds = ",".join(str(seed) for seed in range(15))
    (said,) = mistakes("train", "-m", f"seed={seeds},-1", "model=vgg19,resnet18")
    assert said.startswith("seed=-1")


def test_a_range_without_end_makes_it_a_search() -> None:
    typed = ["-m", "optimizer.lr=interval(0.01,0.1)"]
    assert complete("train", typed) == [*typed, "search=default"]
    assert complete("train", ["-m", "seed=1,2"]) == ["-m", "seed=1,2"]
    check_overrides("train", [*typed, "search=default", "search.n_trials=3", "search/sampler=random"])
    (said,) = mistakes("train", "-m", "optimizer.lr=interval(-1,0.1)", "search=default")
    assert said.startswith("optimizer.lr=-1.0: it should be greater than 0")
    (said,) = mistakes("train", "search=resnet50")
    assert said.endswith("a search needs a multirun. Write `gender-lightning train -m search=resnet50`.")


def test_every_end_of_a_space_is_a_training() -> None:
    (said,) = mistakes("train", "-m", "search=resnet50", "search.space.optimizer='choice(adamw,sgdd)'")
    assert "sgdd" in said
    (said,) = mistakes("train", "-m", "search=resnet50", "search.metrics=[test/accuracy]")
    assert "choices are made on the valid split" in said
    (said,) = mistakes("train", "-m", "search=resnet18,resnet50")
    assert said == "search=resnet18,resnet50: one search at a time. Start with search=resnet18."
    (said,) = mistakes("train", "-m", "search=default")
    assert said.startswith("There is nothing to search.")


@pytest.mark.parametrize("search", [name for name in groups()["search"] if name != "default"])
def test_every_space_that_is_shipped(search: str) -> None:
    check_overrides("train", ["-m", f"search={search}"])


def test_other_commands_have_their_own_fields() -> None:
    group, *fields = mistakes("evaluate", "split=tset", "optimizer=sgd")
    assert group.startswith(
        "optimizer=sgd: `evaluate` has no such group. Choose one of: data, checkpoint, output, split,"
    )
    assert fields == [
        "checkpoint: a value is missing. Give checkpoint=... on the command line.",
        "split=tset: it should be 'train', 'valid' or 'test'.",
    ]
    assert mistakes("predict", "chekpoint=x", "inptu=y") == [  # and not that checkpoint and input are missing
        "chekpoint: there is no such field. Did you mean 'checkpoint'?",
        "inptu: there is no such field. Did you mean 'input'?",
    ]
    (said,) = mistakes("data", "data=celeba", "download=maybe")
    assert said == "download=maybe: it should be a valid boolean."
    (said,) = mistakes("evaluate", "-m", "checkpoint=x", "split=valid,test")
    assert said.startswith("evaluate -m: only trainings are swept.")


@pytest.fixture
def run_with(tmp_path: Path) -> Callable[..., Path]:
    """A run directory of a training with these overrides."""

    def make(*overrides: str) -> Path:
        run = tmp_path / "run"
        (run / "checkpoints").mkdir(parents=True)
        (run / "checkpoints" / "best.ckpt").touch()
        (run / "run.json").write_text("{}")
        (run / "config.yaml").write_text(to_yaml(compose("train", overrides)))
        return run

    return make


@pytest.mark.parametrize("place", [".", "checkpoints/best.ckpt"])
@pytest.mark.parametrize(
    "typed",
    [
        ["data=folder", "data.root='/it\\'s [odd], a=b'", "data.limit=5"],
        ["data=celeba", "data.split=images", "data.sizes={train:0.5,valid:0.25,test:0.25}", "data.zoom=0.85"],
        ["data=synthetic", "data.workers=0"],
    ],
)
def test_evaluate_takes_the_runs_own_data(run_with: Callable[..., Path], typed: list[str], place: str) -> None:
    run = run_with(*typed)
    overrides = complete("evaluate", [f"checkpoint={run / place}", "split=valid"])
    check_overrides("evaluate", overrides)
    assert compose("evaluate", overrides)["data"] == compose("train", typed)["data"]


def test_what_is_typed_wins_over_the_runs_own_data(run_with: Callable[..., Path]) -> None:
    run = run_with("data=folder", "data.root=/there")
    changed = compose("evaluate", complete("evaluate", [f"checkpoint={run}", "data.root=/here"]))
    assert (changed["data"]["name"], changed["data"]["root"]) == ("folder", "/here")
    other = compose("evaluate", complete("evaluate", [f"checkpoint={run}", "data=celeba"]))
    assert (other["data"]["name"], other["data"]["root"]) == ("celeba", "data/celeba")


@pytest.mark.parametrize("prefix", ["", "++"])
def test_evaluate_refuses_another_framing(prefix: str) -> None:
    with pytest.raises(UserErrors) as caught:
        complete("evaluate", ["checkpoint=x", f"{prefix}data.image_size=64", f"{prefix}data.crop=none"])
    assert len(caught.value.messages) == 2
    assert "the framing belongs to the checkpoint and cannot be changed here" in caught.value.messages[0]


@pytest.mark.parametrize(
    "value",
    ["plain", "it's", 'a "b"', r"C:\new", "end\\", r"\'", "a=b,c", "[x", "${now}", " x ", "", "1", "null", "ä"],
)
def test_a_text_survives_hydras_grammar(value: str) -> None:
    assert OverridesParser.create().parse_override(f"key={hydra_value(value)}").value() == value


@pytest.mark.parametrize("value", [None, True, 3, 1e-5, [1, "a,b"], {"train": 0.8, "valid": 1}])
def test_other_values_survive_it_too(value: object) -> None:
    assert OverridesParser.create().parse_override(f"key={hydra_value(value)}").value() == value


@pytest.mark.parametrize(
    ("typed", "means"),
    [
        ("my photos/é", "my photos/é"),
        ("日本/a&b#1.jpg", "日本/a&b#1.jpg"),
        ("it's (1)=x.jpg", "it's (1)=x.jpg"),
        (r"C:\\new dir\\", r"C:\\new dir\\"),
        ("123", "123"),
        ("true", "true"),
        ("'quoted by hand.jpg'", "quoted by hand.jpg"),
        ("photos/*.jpg", "photos/*.jpg"),
        ("[a b.jpg,c.jpg,é]", ["a b.jpg", "c.jpg", "é"]),
        ("['a,b.jpg',c.jpg]", ["a,b.jpg", "c.jpg"]),
        ("~/x.jpg", "~/x.jpg"),
        ("-", "-"),
    ],
)
def test_names_of_files_are_taken_as_they_are_typed(typed: str, means: str | list[str]) -> None:
    assert compose("predict", complete("predict", ["checkpoint=x", f"input={typed}"]))["input"] == means


def test_a_file_with_a_comma_or_brackets_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a, b.jpg", "[1]"):
        Path(name).touch()
        assert compose("predict", complete("predict", ["checkpoint=x", f"input={name}"]))["input"] == name
    (said,) = mistakes("predict", *complete("predict", ["checkpoint=x", "input=a.jpg,b.jpg"]))
    assert "a list has brackets" in said or "takes one value" in said


def test_a_value_of_the_wrong_form_is_not_missing_too() -> None:
    (said,) = mistakes("predict", "checkpoint=x", "input=a=b=[")
    assert "in quotes" in said


def test_a_resume_changes_fields_that_only_its_run_has(tmp_path: Path) -> None:
    values = compose("train", ["loss=distill", "loss.teacher=[gone]", "scheduler=plateau"])
    (tmp_path / "config.yaml").write_text(to_yaml(values))
    typed = [f"resume={tmp_path}", "loss.teacher=[here]", "scheduler.monitor=val/loss", "trainer.max_epochs=9"]
    completed = complete("train", typed)
    assert completed == [typed[0], f"++{typed[1]}", f"++{typed[2]}", typed[3]]
    check_overrides("train", completed)
    inside = complete("train", [f"resume={tmp_path / 'checkpoints' / 'last.ckpt'}", "loss.teacher=[here]"])
    assert inside[1] == "++loss.teacher=[here]"
    assert complete("train", typed[1:]) == typed[1:]
    assert mistakes("train", *complete("train", [typed[0], "loss.techer=[here]"]))[0].startswith(
        "loss.techer: there is"
    )


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("[model=resnet18,trainer.max_epochs=3]", ["model=resnet18", "trainer.max_epochs=3"]),
        ("[model=resnet18, data.groups=[A,B],x={a:1,b:2}]", ["model=resnet18", "data.groups=[A,B]", "x={a:1,b:2}"]),
        ("[\"model=resnet18\",'seed=2']", ["model=resnet18", "seed=2"]),
        ("[]", []),
    ],
)
def test_a_recipe_is_typed_without_quotes(typed: str, read: list[str]) -> None:
    assert compose("data", complete("data", [f"recipe={typed}"]))["recipe"] == read


def test_a_recipe_with_deeper_brackets_is_not_changed() -> None:
    assert quoted("recipe=[a=[[1],[2]]]") == "recipe=[a=[[1],[2]]]"


def test_a_required_value_that_is_wrong_is_not_missing_too() -> None:
    with pytest.raises(UserErrors) as caught:
        check_overrides("refit", ["checkpoint=[a,b]", "data=synthetic", "output=x"])
    assert len(caught.value.mistakes) == 1 and "no last layer in common" in str(caught.value)
