"""A checkpoint that cannot be gone on from is named, and the one before it offered."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from toy_training import Toy, fit

from gender_lightning.errors import UserError
from gender_lightning.training.checkpoint_files import WholeFiles, check_resumable


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("trained")
    fit(folder, epochs=2)
    return {path.name: path.read_bytes() for path in (folder / "checkpoints").iterdir()}


@pytest.fixture
def last(trained: dict[str, bytes], tmp_path: Path) -> Path:
    for name, content in trained.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path / "last.ckpt"


def check(path: Path) -> None:
    check_resumable(path, Toy().net.state_dict(), "toy")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def flip(path: Path) -> None:
    """One bit of a weight, which torch would read without a word."""
    content = bytearray(path.read_bytes())
    weight = torch.load(path, weights_only=True)["state_dict"]["net.3.weight"].numpy().tobytes()
    content[content.index(weight) + 5] ^= 1
    path.write_bytes(content)
    assert torch.load(path, weights_only=True)


def pickled(path: Path) -> None:
    torch.save({"state_dict": Toy()}, path)


def weights_alone(path: Path) -> None:
    path.write_bytes(path.with_name("best.ckpt").read_bytes())


def another_network(path: Path) -> None:
    content = torch.load(path, weights_only=True)
    content["state_dict"]["net.3.weight"] = torch.zeros(1, 7)
    torch.save(content, path)


DAMAGES = [
    (cut, "is damaged"),
    (flip, "the checksum of"),
    (pickled, "refused for safety"),
    (weights_alone, "cannot be resumed: it lacks optimizer_states"),
    (another_network, "holds another network"),
    (Path.unlink, "does not exist"),
    (lambda path: path.write_text("hello"), "last.ckpt is"),
]


def test_a_whole_one_is_accepted(last: Path) -> None:
    check(last)
    check(last.with_name("previous.ckpt"))


@pytest.mark.parametrize(("damage", "message"), DAMAGES)
def test_a_damaged_one_is_named_and_the_one_before_offered(
    last: Path, damage: Callable[[Path], object], message: str
) -> None:
    damage(last)
    previous = last.with_name("previous.ckpt")
    with pytest.raises(UserError, match=message) as stop:
        check(last)
    assert str(last) in str(stop.value)
    assert f"is intact (epoch 1, step 5). Resume from it: resume={previous}" in str(stop.value)
    cut(previous)
    with pytest.raises(UserError, match="There is none before it to resume from"):
        check(last)


def test_the_good_one_outlives_a_damaged_last(last: Path, tmp_path: Path) -> None:
    """Going on from the one before must not put the damaged one in its place."""
    from gender_lightning.training.callbacks.checkpoints import Checkpoints

    cut(last)
    previous = last.with_name("previous.ckpt")
    good = previous.read_bytes()
    checkpoints = Checkpoints(tmp_path, resumed_from=previous)

    class Trainer:
        strategy = SimpleNamespace(checkpoint_io=WholeFiles())

        def save_checkpoint(self, path: Path) -> None:
            self.strategy.checkpoint_io.save_checkpoint({"new": 1}, path)

    def save() -> None:
        checkpoints._save_last(Trainer())  # type: ignore[arg-type]
        checkpoints._writer.wait()

    save()
    new = last.read_bytes()
    assert torch.load(last, weights_only=True) == {"new": 1}
    assert previous.read_bytes() == good
    save()
    assert previous.read_bytes() == new


class _Keeper(pl.Callback):
    """Somebody's callback, which counts epochs in some kind of object."""

    def __init__(self, kind: type[Any]) -> None:
        self.kind, self.seen = kind, kind(0)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.seen = self.kind(int(self.seen) + 1)

    def state_dict(self) -> dict[str, Any]:
        return {"seen": [self.seen]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        (self.seen,) = state_dict["seen"]


@pytest.mark.parametrize(("kind", "kept"), [(int, True), (torch.tensor, True), (np.float64, False), (Fraction, False)])
def test_a_callback_whose_state_cannot_be_read_back_stops_no_resume(
    kind: type[Any], kept: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fit(tmp_path, epochs=2, extra=[_Keeper(kind)])
    warned = [record for record in caplog.records if "_Keeper is not saved for a resume" in record.getMessage()]
    assert len(warned) == (not kept), "once, whatever the number of saves"
    resumed = _Keeper(kind)
    fit(tmp_path, epochs=3, resume=True, extra=[resumed])
    assert int(resumed.seen) == (3 if kept else 1)
