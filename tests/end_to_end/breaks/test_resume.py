"""A training that was broken off goes on to the very weights of one that was not."""

from __future__ import annotations

import csv
import json
import math
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from gender_lightning.training.classifier import GenderClassifier

Train = Callable[..., Path]
Command = Callable[..., None]
# everything that has a state or a random number of its own
BUSY = (
    "trainer.max_epochs=3", "model.dropout=0.2", "augmentation.mixup=0.2", "callbacks.ema.decay=0.9", "model.freeze=1",
    "trainer.accumulate_grad_batches=2",
)  # fmt: skip

# and what training knows of images beside the label, with states of its own too
GROUPED = (
    "data.groups=[Eyeglasses]", "data.group_minimum=3", "data.sampler=group_balanced", "loss=group_dro",
    "loss.step_size=0.5", "loss.auxiliary.attributes=all",
)  # fmt: skip

SMALL_MODEL = ("model=timm", "model.name=timm/test_resnet")


@pytest.fixture(scope="module")
def undisturbed(
    command: Command, celeba_of: Callable[..., list[str]], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """The run directory of a training that nothing has broken off; each is trained once."""
    place = tmp_path_factory.mktemp("undisturbed")
    known: dict[tuple[str, ...], Path] = {}

    def run(*overrides: str) -> Path:
        if overrides not in known:
            known[overrides] = place / f"whole{len(known)}"
            command("train", *celeba_of(f"run_dir={known[overrides]}", *SMALL_MODEL, *overrides))
        return known[overrides]

    return run


@pytest.fixture
def break_off(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Let the next training end at the start of an epoch."""

    def prepare(epoch: int, error: type[BaseException] = RuntimeError) -> None:
        start = GenderClassifier.on_train_epoch_start

        def broken(self: GenderClassifier) -> None:
            if self.current_epoch == epoch:
                monkeypatch.setattr(GenderClassifier, "on_train_epoch_start", start)
                raise error("broken off")
            start(self)

        monkeypatch.setattr(GenderClassifier, "on_train_epoch_start", broken)

    return prepare


@pytest.mark.parametrize(("error", "status"), [(RuntimeError, "failed"), (KeyboardInterrupt, "interrupted")])
def test_it_goes_on_as_if_nothing_had_been(
    train: Train,
    command: Command,
    undisturbed: Train,
    break_off: Callable[..., None],
    tmp_path: Path,
    error: type[BaseException],
    status: str,
) -> None:
    whole, broken = undisturbed(*BUSY), tmp_path / "broken"
    break_off(1, error)
    with pytest.raises(SystemExit):
        train("broken", *BUSY)
    assert info(broken)["status"] == status and not (broken / "metrics.json").exists()
    before = info(broken)["seconds"]
    if status == "interrupted":  # it is made one from before losses had names
        values = yaml.safe_load((broken / "config.yaml").read_text())
        assert values["loss"].pop("name") == "bce"
        (broken / "config.yaml").write_text(yaml.safe_dump(values))
    command("train", f"resume={broken}")
    assert info(broken)["status"] == "done" and info(broken)["error"] is None and info(broken)["seconds"] > before
    for name in ("best", "last"):
        assert_same(*(torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True) for run in (whole, broken)))
    assert metrics(broken) == metrics(whole)
    assert curve(broken) == curve(whole) and [row["epoch"] for row in curve(broken)] == ["1", "2", "3"]
    assert sorted(path.name for path in broken.iterdir()) == sorted(path.name for path in whole.iterdir())


@pytest.mark.parametrize("hook", ["training_step", pytest.param("validation_step", marks=pytest.mark.slow)])
def test_a_signal_in_the_middle_of_an_epoch(
    train: Train, command: Command, undisturbed: Train, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, hook: str
) -> None:
    """With a loader process, whose order must not begin anew."""
    whole, broken = undisturbed(*BUSY, *GROUPED, "data.workers=1", "data.batch_size=4"), tmp_path / "broken"
    step = getattr(GenderClassifier, hook)

    def signalled(self: GenderClassifier, batch: Any, number: int) -> Any:
        if self.current_epoch == 1 and number == 1:
            monkeypatch.setattr(GenderClassifier, hook, step)
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, batch, number)

    monkeypatch.setattr(GenderClassifier, hook, signalled)
    with pytest.raises(SystemExit) as stop:
        train("broken", *BUSY, *GROUPED, "data.workers=1", "data.batch_size=4")
    assert stop.value.code == 143 and info(broken)["status"] == "interrupted" and len(curve(broken)) == 1
    command("train", f"resume={broken}")
    for name in ("best", "last"):
        assert_same(*(torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True) for run in (whole, broken)))
    assert metrics(broken) == metrics(whole) and curve(broken) == curve(whole)


def test_without_a_checkpoint_it_begins_anew_and_a_damaged_one_is_named(
    train: Train, command: Command, break_off: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    whole = train("whole", "trainer.max_epochs=2")
    break_off(0)
    with pytest.raises(SystemExit):
        train("broken", "trainer.max_epochs=2")
    broken = whole.with_name("broken")
    command("train", f"resume={broken}")
    assert metrics(broken) == metrics(whole) and curve(broken) == curve(whole)

    file = broken / "run.json"
    file.write_text(json.dumps({**info(broken), "status": "running"}))  # as a power cut leaves it
    last = broken / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:-100])
    with pytest.raises(SystemExit) as stop:
        command("train", f"resume={broken}")
    previous = last.with_name("previous.ckpt")
    said = capsys.readouterr().err
    assert stop.value.code == 2 and f"{last} is damaged" in said and f"resume={previous}" in said
    command("train", f"resume={previous}")
    assert metrics(broken) == metrics(whole) and curve(broken) == curve(whole)


@pytest.mark.parametrize(
    ("change", "rest"),
    [
        ("data.batch_size=9", [9]),
        pytest.param("data.batch_size=16", [16], marks=pytest.mark.slow),
        pytest.param("data.batch_size=4", [4] * 4, marks=pytest.mark.slow),
    ],
)
def test_another_batch_goes_on_by_images_and_the_share_of_epochs(
    train: Train, command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, change: str, rest: list[int]
) -> None:
    """33 images, of whose second epoch 16 were seen in batches of 8."""
    seen: list[tuple[int, list[int], float]] = []
    step = GenderClassifier.training_step

    def recorded(self: GenderClassifier, batch: Any, number: int) -> Any:
        rate = self.trainer.optimizers[0].param_groups[0]["lr"]
        seen.append((self.current_epoch, batch.indices.tolist(), rate))
        if self.current_epoch == 1 and number == 1 and len(batch.indices) == 8:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, batch, number)

    monkeypatch.setattr(GenderClassifier, "training_step", recorded)
    with pytest.raises(SystemExit):
        train("run", "trainer.max_epochs=3", "scheduler=cosine", "scheduler.warmup_epochs=0")
    before, first_rate = [rows for epoch, rows, _ in seen if epoch == 1], seen[0][2]
    assert [len(rows) for rows in before] == [8, 8]
    seen.clear()
    command("train", f"resume={tmp_path / 'run'}", change)
    after = [(rows, rate) for epoch, rows, rate in seen if epoch == 1]
    assert [len(rows) for rows, _ in after] == rest
    assert not {row for rows in before for row in rows} & {row for rows, _ in after for row in rows}
    share = (1 + 2 / 4) / 3  # of the training; schedules count whole steps
    steps = 33 // int(change.partition("=")[2])
    expected = (1 + math.cos(math.pi * round(share * 3 * steps) / (3 * steps))) / 2
    assert after[0][1] / first_rate == pytest.approx(expected)
    assert len([rows for epoch, rows, _ in seen if epoch == 2]) == steps
    assert info(tmp_path / "run")["status"] == "done"


def test_a_finished_run_is_refused_unless_it_gets_more_epochs(
    train: Train, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train("done", "test=false")
    before = (run / "run.json").read_bytes()
    with pytest.raises(SystemExit) as stop:
        command("train", f"resume={run}")
    assert stop.value.code == 2 and "finished already" in capsys.readouterr().err
    assert (run / "run.json").read_bytes() == before
    assert not any("test" in name for name in metrics(run)), "test=false leaves the test split alone"
    with pytest.raises(SystemExit):
        command("train", f"resume={run}", "trainer.max_epochs=1")
    assert "Give a larger trainer.max_epochs" in capsys.readouterr().err
    assert (run / "run.json").read_bytes() == before
    command("train", f"resume={run}", "trainer.max_epochs=2")
    assert [row["epoch"] for row in curve(run)] == ["1", "2"] and info(run)["status"] == "done"


def test_a_mistake_leaves_the_run_as_it_was_and_a_change_is_kept(
    train: Train, command: Command, break_off: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    break_off(1)
    with pytest.raises(SystemExit):
        train("run", "trainer.max_epochs=2", "scheduler=constant")
    before = {name: (run / name).read_bytes() for name in ("run.json", "config.yaml", "overrides.yaml")}
    for mistake in ("trainer.devices=100", "trainer.max_epochs=two", "model=resnet50"):
        with pytest.raises(SystemExit) as stop:
            command("train", f"resume={run}", mistake)
        assert stop.value.code == 2 and mistake.split("=")[0] in capsys.readouterr().err
        assert {name: (run / name).read_bytes() for name in before} == before
    command("train", f"resume={run}", "trainer.max_epochs=4")
    assert [row["epoch"] for row in curve(run)] == ["1", "2", "3", "4"]
    assert yaml.safe_load((run / "config.yaml").read_text())["trainer"]["max_epochs"] == 4
    assert yaml.safe_load((run / "overrides.yaml").read_text())[-1] == "trainer.max_epochs=4"


def test_pretrained_weights_are_read_once(
    train: Train, command: Command, break_off: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    donor = train("donor", "test=false")
    monkeypatch.chdir(donor.parent)
    break_off(1)
    with pytest.raises(SystemExit):
        train("run", "trainer.max_epochs=2", "model.pretrained=donor")
    run = donor.with_name("run")
    assert yaml.safe_load((run / "config.yaml").read_text())["model"]["pretrained"] == str(donor)
    monkeypatch.chdir("/")
    monkeypatch.setattr(
        "gender_lightning.models.checkpoints.transfer.read_weights", lambda path: pytest.fail("read again")
    )
    command("train", f"resume={run}")
    assert info(run)["status"] == "done"


def test_a_training_that_broke_off_in_its_test_only_tests(
    train: Train, command: Command, undisturbed: Train, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole, broken = undisturbed(*BUSY), tmp_path / "broken"
    with monkeypatch.context() as patch:
        patch.setattr("gender_lightning.commands.train.choose_threshold", lambda *arguments: 1 / 0)
        with pytest.raises(SystemExit):
            train("broken", *BUSY)
    assert info(broken)["status"] == "failed" and "ZeroDivisionError" in info(broken)["error"]
    command("train", f"resume={broken}")
    assert info(broken)["status"] == "done" and metrics(broken) == metrics(whole) and curve(broken) == curve(whole)


def info(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run / "run.json").read_text())
    return content


def metrics(run: Path) -> dict[str, float]:
    content: dict[str, float] = json.loads((run / "metrics.json").read_text())
    return content


def curve(run: Path) -> list[dict[str, str]]:
    """metrics.csv without what a clock says."""
    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [{name: cell for name, cell in row.items() if name not in ("seconds", "images_per_second")} for row in rows]


def assert_same(one: Any, other: Any, where: str = "") -> None:
    assert type(one) is type(other), where
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one.keys() - {"seconds"}:
            assert_same(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for number, (left, right) in enumerate(zip(one, other, strict=True)):
            assert_same(left, right, f"{where}[{number}]")
    else:
        assert one == other or (one != one and other != other), where
