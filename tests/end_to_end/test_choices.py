"""Every choice that changes a training does what it says, in one or two tiny epochs."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gender_lightning.models.backbones import create_backbone, head_parameters

Train = Callable[..., Path]
STILL = ("model.freeze=backbone", "optimizer.lr=1e-12")  # nothing moves, batch norms neither: val/* stay as they are


@pytest.mark.parametrize(
    "typed",
    [
        "augmentation.mixup=0.4 augmentation.cutmix=1.0 trainer.precision=bf16-mixed trainer.channels_last=false "
        "callbacks.ema.decay=0.99 trainer.gradient_clip_val=null",
        "augmentation=framing augmentation.progressive=[{until:0.5,image_size:24}] optimizer=adam scheduler=step "
        "scheduler.every_epochs=1 trainer.max_epochs=2",
        "augmentation=light optimizer=lion scheduler=one_cycle data.crop=lower data.zoom=0.8 "
        "data.interpolation=bicubic model.test_time_flip=true model.test_time_zooms=[1,1.5]",
        "augmentation=none optimizer=muon trainer.accumulate_grad_batches=3 data.batch_size=5 data.eval_batch_size=4 "
        "+callbacks.extra.timer._target_=pytorch_lightning.callbacks.Timer trainer.max_time=00:01:00:00",
        "loss.label_smoothing=0.1 loss.class_weights=balanced optimizer=sgd model.layer_decay=0.7 trainer.max_steps=2 "
        "trainer.log_every_n_steps=1",
        "data.batch_size=64",
        "data.limit=12 data.fraction=0.9 data.split=images data.sizes={train:0.5,valid:0.25,test:0.25}",
    ],
)
def test_it_trains_and_tests(train: Train, typed: str) -> None:
    run = train("run", *typed.split())
    metrics = json.loads((run / "metrics.json").read_text())
    assert len(metrics) == 14 and np.isfinite(list(metrics.values())).all()


def test_a_frozen_backbone_stays_what_it_was(train: Train, tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    torch.manual_seed(4)
    net = create_backbone("timm/test_resnet", image_size=32)
    torch.save(net.state_dict(), tmp_path / "weights.pt")
    run = train("run", "model.freeze=backbone", f"model.pretrained={tmp_path / 'weights.pt'}", "optimizer.lr=0.1")
    trained = weights(run, "best")
    heads = {name for name, value in net.named_parameters() if any(value is head for head in head_parameters(net))}
    moved = {name for name, value in net.state_dict().items() if not torch.equal(value, trained[name])}
    assert moved and moved <= heads
    said = [str(warning.message) for warning in recwarn]
    assert not [text for text in said if "eval mode" in text or "no logger configured" in text]


def test_a_backbone_thaws_after_its_epochs(train: Train) -> None:
    run = train(
        "run",
        "model.freeze=1",
        "trainer.max_epochs=2",
        "callbacks.checkpoint.monitor=val/loss",
        "callbacks.checkpoint.mode=min",
    )
    state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["optimizer_states"][0]["state"]
    assert {int(entry["step"]) for entry in state.values()} == {4, 8}, "the head had eight steps, the backbone four"


def test_the_average_is_what_is_validated_and_kept(train: Train) -> None:
    run = train("run", "callbacks.ema.decay=0.9", "optimizer.lr=0.05")
    last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    average = next(state["average"] for name, state in last["callbacks"].items() if name.startswith("Ema"))
    best, own = weights(run, "best"), {name.removeprefix("net."): value for name, value in last["state_dict"].items()}
    assert all(torch.equal(best[name], value) for name, value in average.items())
    assert any(not torch.equal(best[name], own[name]) for name in average)
    (row,) = curve(run)
    metrics = json.loads((run / "metrics.json").read_text())
    assert float(row["val/accuracy"]) == pytest.approx(metrics["val/accuracy"], abs=1e-5)


def test_it_stops_early_and_more_epochs_have_their_own_patience(
    train: Train, command: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    run = train("run", *STILL, "callbacks.early_stopping.patience=2", "trainer.max_epochs=9")
    assert len(curve(run)) == 3
    with pytest.raises(SystemExit):
        command("train", f"resume={run}", "trainer.max_epochs=9")
    assert "it trained for 3 of 9 epochs" in (said := capsys.readouterr().err) and "early stopping" in said
    command("train", f"resume={run}", "trainer.max_epochs=12", "callbacks.early_stopping.patience=3")
    assert len(curve(run)) == 6


def test_a_plateau_lowers_the_rate(train: Train) -> None:
    run = train(
        "run", *STILL, "scheduler=plateau", "scheduler.patience=0", "scheduler.factor=0.5", "trainer.max_epochs=3"
    )
    assert [float(row["lr"]) for row in curve(run)] == pytest.approx([1e-12, 1e-12, 5e-13])


def test_tensorboard_has_one_file_the_epochs_alone_and_hparams(train: Train) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    run = train("run", "logger=tensorboard", "trainer.max_epochs=2")
    assert len(list((run / "tensorboard").iterdir())) == 1
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    epochs = [float(row["val/accuracy"]) for row in curve(run)]
    assert [event.value for event in events.Scalars("val/accuracy")] == pytest.approx(epochs, abs=1e-5)
    metrics = json.loads((run / "metrics.json").read_text())
    assert {f"final/{name}" for name in metrics} <= set(events.Tags()["scalars"])
    content = events.PluginTagToContent("hparams")["_hparams_/session_start_info"]
    shown = HParamsPluginData.FromString(content).session_start_info.hparams
    assert shown["model.name"].string_value == "timm/test_resnet" and shown["optimizer.lr"].number_value > 0


def test_a_folder_of_faces(train: Train, faces: Path, tmp_path: Path) -> None:
    lines = (faces / "list_attr_celeba.txt").read_text().splitlines()
    male = lines[1].split().index("Male") + 1
    for cells in (line.split() for line in lines[2:]):
        place = tmp_path / "folder" / ("m" if cells[male] == "1" else "F")
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(faces / "img_align_celeba" / cells[0], place)
    run = train("run", "data=folder", f"data.root={tmp_path / 'folder'}", "data.sizes={train: 31, valid: 15, test: 15}")
    assert (run / "predictions" / "test.parquet").is_file()


def test_drawn_faces(train: Train, tmp_path: Path) -> None:
    train(
        "run",
        "data=synthetic",
        f"data.root={tmp_path / 'drawn'}",
        "data.sizes={train: 33, valid: 15, test: 13}",
        "data.seed=21",
    )
    assert len(list((tmp_path / "drawn" / "img_align_celeba").iterdir())) == 61


def test_one_batch_of_everything_keeps_nothing(train: Train) -> None:
    run = train("run", "trainer.fast_dev_run=true")
    assert json.loads((run / "run.json").read_text())["status"] == "done"
    assert not list(run.rglob("*.ckpt")) and not list(run.rglob("*.parquet"))


def curve(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def weights(run: Path, name: str) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]
    return state
