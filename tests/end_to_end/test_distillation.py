"""Runs that are taught by other runs, from the command line."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml
from process_state import left_as_it_was

import gender_lightning
from gender_lightning.errors import UserError
from gender_lightning.machine.hardware import available_cores
from gender_lightning.training.classifier import GenderClassifier

Train = Callable[..., Path]
Command = Callable[..., None]
BUSY = (
    "augmentation=framing", "augmentation.mixup=0.2", "augmentation.downscale.smallest=12", "callbacks.ema.decay=0.9",
    "trainer.max_epochs=2", "trainer.accumulate_grad_batches=2", "model.dropout=0.2",
)  # fmt: skip


def states(*runs: Path) -> list[dict[str, Any]]:
    return [
        torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]
        for run in runs
        for name in ("best", "last")
    ]


def test_a_student_goes_on_with_its_teachers_to_the_last_bit(
    train: Train, command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = train("teacher")
    train("small", "data.image_size=24", "data.crop=lower")
    monkeypatch.chdir(tmp_path)
    taught = (*BUSY, "loss=distill", "loss.teacher=[teacher,small/checkpoints/best.ckpt]", "loss.weight=0.9")
    whole = train("whole", *taught)
    assert "data.crop=lower" in capsys.readouterr().out
    step = GenderClassifier.training_step

    def signalled(self: GenderClassifier, batch: Any, number: int) -> Any:
        if self.current_epoch == 1 and number == 1:
            monkeypatch.setattr(GenderClassifier, "training_step", step)
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, batch, number)

    monkeypatch.setattr(GenderClassifier, "training_step", signalled)
    with pytest.raises(SystemExit):
        train("broken", *taught)
    broken = tmp_path / "broken"
    kept = (broken / "config.yaml").read_text()
    values = yaml.safe_load(kept)
    assert values["loss"]["teacher"] == [str(plain), str(tmp_path / "small/checkpoints/best.ckpt")]
    monkeypatch.chdir(tmp_path.parent)
    values["loss"]["teacher"].append(str(broken))
    (broken / "config.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(SystemExit) as stop:
        command("train", f"resume={broken}")
    assert stop.value.code == 2 and "is the run that is to be trained" in capsys.readouterr().err
    (broken / "config.yaml").write_text(kept)
    (tmp_path / "small").rename(tmp_path / "moved")
    command("train", f"resume={broken}", f"loss.teacher=[{plain},{tmp_path / 'moved'}]")
    assert yaml.safe_load((broken / "config.yaml").read_text())["loss"]["teacher"][1] == str(tmp_path / "moved")
    assert yaml.safe_load((broken / "overrides.yaml").read_text())[-1].startswith("loss.teacher=")
    for ours, theirs in zip(states(broken), states(whole), strict=True):
        assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert [state.keys() for state in states(whole)] == [state.keys() for state in states(plain)]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ((), "loss=distill has no teacher. Name trained runs: loss.teacher=[runs/A,runs/B]."),
        (("loss.teacher=[gone]",), "loss.teacher: gone does not exist. Give a checkpoint file or a run directory."),
    ],
)
def test_a_missing_teacher_is_told_before_there_is_a_run(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str], overrides: tuple[str, ...], said: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        train("run", "loss=distill", *overrides)
    assert stop.value.code == 2 and said in capsys.readouterr().err.replace(f"{Path.cwd()}/", "")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.skipif(available_cores() < 2, reason="two processes need two cores")
def test_two_processes_learn_the_same_as_one(train: Train, celeba_of: Callable[..., list[str]], tmp_path: Path) -> None:
    """They are started from Python, which starts processes for several devices."""
    teacher = train("teacher")
    typed = ("model=timm", "model.name=timm/test_vit", "optimizer=sgd", "augmentation=framing", "loss=distill")
    one = train("one", *typed, f"loss.teacher={teacher}")
    asked = celeba_of(*typed, "data.batch_size=4", f"loss.teacher=[{teacher}]", f"run_dir={tmp_path / 'two'}")
    with left_as_it_was():
        run = gender_lightning.train(*asked, trainer={"devices": 2})
    assert run.info()["status"] == "done" and run.info()["trainer"]["devices"] == 2
    assert len(pd.read_parquet(run.predictions / "test.parquet")) == 13
    with pytest.raises(UserError, match="exists already"):
        gender_lightning.train(*asked, trainer={"devices": 2})
    for ours, theirs in zip(states(tmp_path / "two"), states(one), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=2e-5)
    metrics = [json.loads((tmp_path / run / "metrics.json").read_text()) for run in ("one", "two")]
    assert metrics[1] == pytest.approx(metrics[0], abs=1e-4)
