"""The parts of `make gpu-check`, tried where there is no GPU."""

from __future__ import annotations

import json
import math
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from gender_lightning.benchmarks import gpu_check
from gender_lightning.benchmarks.gpu_check import (
    CELEBA,
    CELEBA_VALID,
    Part,
    Size,
    check,
    epoch_of_celeba,
    main,
    measured,
    parts,
)
from gender_lightning.benchmarks.whole_runs import Training
from gender_lightning.errors import UserError
from gender_lightning.job import PARENT_VARIABLE
from gender_lightning.running import check_overrides

TINY = Size(
    faces=32, valid=16, pixels=(32, 32), batches=(8, 4), models=("resnet18", "resnet18"), seconds=0.05,
    more=("trainer.accelerator=cpu", "trainer.precision=32-true", "data.workers=0"),
)  # fmt: skip


def test_without_a_gpu_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(SystemExit) as stopped:
        main(["--output", str(tmp_path / "figures.json")])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.count(".") == 1
    assert not list(tmp_path.iterdir())


def test_a_gpu_that_torch_cannot_use_is_said_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(number: int) -> None:
        raise RuntimeError("The driver is too old.\nUpdate it.")

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", fails)
    with pytest.raises(SystemExit) as stopped:
        main(["--output", str(tmp_path / "figures.json")])
    assert stopped.value.code == 2
    assert capsys.readouterr().err == "torch sees a GPU and cannot use it: The driver is too old.\n"


@pytest.mark.parametrize(("gigabytes", "stays"), [(85.5, "true"), (42.5, "false")])  # an H100, an A100 of 40 GB
def test_the_recipe_is_measured_as_it_would_run_with_all_of_celeba(
    gigabytes: float, stays: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    properties = SimpleNamespace(total_memory=gigabytes * 1e9)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: properties)
    for lacking, compiles in ((None, "true"), ("a C compiler", "false")):
        monkeypatch.setattr(gpu_check, "what_compilation_lacks", lambda lacking=lacking: lacking)
        found = gpu_check.recipe_here(224)
        assert found == (f"trainer.compile={compiles}", f"data.resident={stays}")
    recipe = next(part for part in parts(Size(recipe=found), tmp_path) if part.steps)
    assert recipe.overrides[-2:] == found


def test_one_failure_and_the_end_of_the_time_cost_their_own_figures_only(tmp_path: Path) -> None:
    def measure(part: Part, folder: Path, seconds: float) -> dict[str, Any]:
        assert 0 < seconds <= 100
        if part.name == "b":
            raise UserError("It is broken.")
        return {"said": [part.name]}

    todo = [Part("a", ()), Part("b", ()), Part("c", (), least=1e9), Part("d", ())]
    check(todo, tmp_path / "figures.json", measure, 100)
    content = json.loads((tmp_path / "figures.json").read_text())
    assert content["parts"]["a"] == {"said": ["a"]}
    assert content["parts"]["b"] == {"failed": "It is broken."}
    assert "1000000000 are needed" in content["parts"]["c"]["left_out"]
    assert content["parts"]["d"] == {"said": ["d"]}
    assert content["packages"]


def test_a_part_that_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(command: list[str], timeout: float, env: dict[str, str], **_: Any) -> None:
        assert env[PARENT_VARIABLE] == str(os.getpid()), "what it has started ends with it, too"
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(subprocess, "run", slow)
    with pytest.raises(UserError, match="longer than the 7 s"):
        measured(Part("a", ()), tmp_path / "a", 7.0)
    with pytest.raises(UserError, match="longer than 7 s"):
        measured(Part("experiment=celeba", (), steps=1), tmp_path / "b", 7.0)


def test_an_epoch_of_celeba_is_training_pauses_and_validation() -> None:
    training = Training(CELEBA / 60, seconds_beside=36.0, seconds_validating=6.0, validated=CELEBA_VALID // 10)
    found = epoch_of_celeba(training)
    assert math.isclose(found["minutes_of_training"], 1.5)
    assert math.isclose(found["minutes_of_validation"], 1.0, rel_tol=1e-3)
    assert math.isclose(found["minutes_per_epoch"], 2.5, rel_tol=1e-3)


def test_figures_of_a_resnet50_stand_beside_those_of_others(tmp_path: Path) -> None:
    todo = parts(Size(), tmp_path)
    content = check(todo, tmp_path / "figures.json", lambda *_: {"said": ["measured"]}, 1e6)
    written = json.loads((tmp_path / "figures.json").read_text())["parts"]
    assert [name.startswith("resnet50 224 px") for name in written] == ["beside" in part for part in written.values()]
    beside = written["resnet50 224 px, batch 256"]["beside"]
    assert beside["images_per_second_per_h200"] == 7869
    assert beside["goals"] == {"images_per_second": 4000, "kept": 0.9}
    lines = list(gpu_check.summary(todo, content))
    (line,) = (line for line in lines if line.startswith("resnet50 224 px, batch 256: beside"))
    figures = [beside["images_per_second_per_h200"], *beside["images_per_second_estimated_for_an_h100"]]
    assert all(f"{number:,}" in line for number in [*figures, beside["goals"]["images_per_second"]])
    assert not any("beside" in line for line in lines if not line.startswith("resnet50 224 px"))


def test_every_part_is_a_valid_command(tmp_path: Path) -> None:
    todo = parts(TINY, tmp_path / "faces")
    assert [part.steps is None for part in todo] == [True, True, False, True, True, True, True]
    for part in todo:
        check_overrides("benchmark" if part.steps is None else "train", list(part.overrides))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_part_is_measured_by_the_benchmark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a whole training, which tests/end_to_end/verbs/test_benchmark.py does."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    part = parts(TINY, tmp_path / "faces")[1]
    assert "stages=[augmentation,step,train]" in part.overrides
    quick = [text.replace(",train]", "]") for text in part.overrides]
    found = measured(Part(part.name, tuple(quick)), tmp_path / "part", 800.0)
    assert [row["stage"] for row in found["measurements"]] == ["augmentation", "step"]
    assert found["kept_by_training"] == {}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_recipe_is_measured_by_a_real_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    part = parts(TINY, tmp_path / "faces")[2]
    part = replace(part, overrides=(*part.overrides, "data.resident=true"))
    found = measured(part, tmp_path / "part", 800.0)
    assert found["images_per_second"] > 0 and found["minutes_of_training"] > 0 and found["minutes_of_validation"] > 0
    assert found["resident"] is True
    assert found["peak_gpu_bytes"] is None
