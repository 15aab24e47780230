"""`benchmark`: every stage on a handful of faces; a mistake costs no time."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

Command = Callable[..., None]


def typed(faces: Path, output: Path, *more: str) -> list[str]:
    return [
        "benchmark", "data=celeba", f"data.root={faces}", "data.image_size=32", "data.batch_size=8", "repeats=2",
        "seconds=0.01", "train_repeats=1", "train_seconds=0.1", "trainer=cpu", f"output={output}", *more,
    ]  # fmt: skip


def test_fast_stages_of_two_backbones(
    command: Command, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stages = "stages=[decode,loader,augmentation,pipeline,step,inference]"
    command(*typed(faces, tmp_path / "out", stages, "models=[resnet18,googlenet]"))
    content = json.loads((tmp_path / "out" / "benchmark.json").read_text())
    found = [(measured["stage"], measured["backbone"]) for measured in content["measurements"]]
    networks = [(stage, name) for name in ("resnet18", "googlenet") for stage in ("step", "inference")]
    assert found == [*((stage, None) for stage in ("decode", "loader", "augmentation", "pipeline")), *networks]
    for measured in content["measurements"]:
        assert len(measured["ours"]["samples"]) == len(measured["common"]["samples"]) == 2
        assert measured["ratio"] == pytest.approx(measured["median"]["ours"] / measured["median"]["common"])
    assert content["packages"]["torch"] and content["hardware"]["cores"] and content["config"]["repeats"] == 2
    with Image.open(tmp_path / "out" / "benchmark.png") as picture:
        assert picture.width > 500
    printed = capsys.readouterr().out
    assert "resnet18: step takes" in printed and "googlenet: step takes" in printed


def test_without_the_common_way(command: Command, faces: Path, tmp_path: Path) -> None:
    command(*typed(faces, tmp_path / "out", "stages=[loader]", "common=false"))
    (measured,) = json.loads((tmp_path / "out" / "benchmark.json").read_text())["measurements"]
    assert measured["common"] is None and measured["ratio"] is None


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_real_training_and_its_start(command: Command, faces: Path, tmp_path: Path) -> None:
    command(*typed(faces, tmp_path / "out", "stages=[startup,step,train]", "model=resnet18", "repeats=1"))
    content = json.loads((tmp_path / "out" / "benchmark.json").read_text())
    startup, step, train = content["measurements"]
    assert (startup["stage"], startup["unit"]) == ("startup", "s") and startup["median"]["ours"] > 0.5
    assert train["median"]["common"] > 0 and 0 < train["seconds_beside"] < 60
    assert step["bare"] is None and len(train["bare"]["samples"]) == len(train["ours"]["samples"])
    (kept,), steps = content["kept_while_training"].values(), 33 / train["median"]["ours"]
    assert content["kept_by_training"]["resnet18"] == pytest.approx(kept * steps / (steps + train["seconds_beside"]))


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        ("stages=[loder]", "stages"),
        ("models=[resnet5]", "Did you mean"),
        ("repeats=0", "repeats"),
        ("output=.", "Choose another output"),
        ("stages=[train] model.name=resnet5", "Did you mean"),  # not a traceback of its trial run
        ("stages=[step] model=vgg19 data.image_size=16", "data.image_size"),
    ],
)
def test_mistakes(
    command: Command, faces: Path, tmp_path: Path, mistake: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        command(*typed(faces, tmp_path / "out", *mistake.split()))
    assert stop.value.code == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
