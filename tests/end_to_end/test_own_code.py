"""A user's own callback, augmentation and network come from a package of theirs, and from nowhere else."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gender_lightning import load
from gender_lightning.errors import UserError
from gender_lightning.models.checkpoints.checkpoint import read_checkpoint

Train = Callable[..., Path]
OWN = """
import pytorch_lightning as pl
import torch
from timm.models import register_model
from timm.models.resnet import BasicBlock, ResNet


class Count(pl.Callback):
    def on_train_batch_end(self, trainer, *rest):
        with open(trainer.default_root_dir + "/steps.txt", "a") as file:
            file.write("x")


class Negative(torch.nn.Module):
    seen = []

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.strength = strength

    def forward(self, images):
        Negative.seen.append((images.dtype, float(images.min()), float(images.max())))
        return images + self.strength * (1 - 2 * images)


class Smaller(torch.nn.Module):
    def forward(self, images):
        return images[..., ::2, ::2]


@register_model
def own_net(pretrained=False, **arguments):
    arguments = {k: v for k, v in arguments.items() if k in ("num_classes", "drop_rate")}
    return ResNet(BasicBlock, (1, 1, 1, 1), channels=(8, 8, 16, 16), stem_width=8, **arguments)
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "own_code.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    if "own_code" in sys.modules:
        forget(own_net="own_code")


USED = (
    "packages=[own_code]",
    "+callbacks.extra.count._target_=own_code.Count",
    "+augmentation.extra.negative={_target_: own_code.Negative, strength: 0.5}",
)


@pytest.mark.usefixtures("own")
def test_all_three_are_used(train: Train) -> None:
    run = train("run", *USED, "model=timm", "model.name=timm/own_net")
    assert (run / "steps.txt").read_text() == "x" * 4  # whole batches of 8 of 33 images
    seen = sys.modules["own_code"].Negative.seen
    assert len(seen) == 4 and all(str(dtype) == "torch.float32" and low >= -0.01 and high <= 1.01
                                  for dtype, low, high in seen)  # fmt: skip
    assert "test/accuracy" in json.loads((run / "metrics.json").read_text())


@pytest.mark.usefixtures("own")
def test_every_command_uses_a_network_of_ones_own_once_it_is_asked_to(
    train: Train, command: Callable[..., None], faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The checkpoint remembers the package, and imports nothing."""
    run = train("run", "packages=[own_code]", "model=timm", "model.name=timm/own_net", "test=false")
    assert read_checkpoint(run)[0].packages == ("own_code",)
    forget(own_net="own_code")
    pictures = ("faces=none", f"input={faces}/img_align_celeba", f"output={tmp_path}/rows.csv", "workers=0")
    small = ("corruptions=none", "images=false", "resamples=100", "wandb=false")
    used = (("predict", *pictures), ("evaluate", *small))
    for verb, *more in used:
        with pytest.raises(SystemExit) as stop:
            command(verb, f"checkpoint={run}", *more)
        assert stop.value.code == 2 and "packages=[own_code]" in capsys.readouterr().err
        assert "own_code" not in sys.modules
    with pytest.raises(UserError, match=r"There is no model named timm/own_net\..*packages=\[own_code\]"):
        load(run, "cpu")
    for verb, *more in used:
        command(verb, f"checkpoint={run}", "accelerator=cpu", "packages=[own_code]", *more)
    assert (tmp_path / "rows.csv").is_file() and load(run, "cpu") is not None


def forget(**networks: str) -> None:
    """As in a new process: neither imported, nor known to timm."""
    from timm.models import _registry

    for name, module in networks.items():
        sys.modules.pop(module)
        _registry._model_entrypoints.pop(name)


@pytest.mark.usefixtures("own")
def test_only_the_command_line_asks_for_code(train: Train, command: Callable[..., None],
                                             capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    """A run directory may be somebody else's: its config alone imports nothing."""
    run = train("run", *USED)
    info = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**info, "status": "interrupted"}))
    sys.modules.pop("own_code")
    with pytest.raises(SystemExit) as stop:
        command("train", f"resume={run}", "trainer.max_epochs=2")
    assert stop.value.code == 2 and "packages=[own_code]" in capsys.readouterr().err
    assert "own_code" not in sys.modules
    command("train", f"resume={run}", "trainer.max_epochs=2", "packages=[own_code]")
    assert (run / "steps.txt").read_text() == "x" * 8


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("+callbacks.extra.count._target_=own_code.Count",), "own_code.Count is not a callback of"),
        (("+augmentation.extra.run={_target_: torch.jit.load, f: x}",), "torch.jit.load is not an augmentation of"),
        (("+augmentation.extra.blur={_target_: torchvision.transforms.v2.GaussianBlur}",), "kernel_size"),
        (("packages=[own_cod]",), "own_cod cannot be imported"),
        (
            ("packages=[own_code]", "+augmentation.extra.a._target_=own_code.Smaller"),
            "images of the size of its input",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_mistakes_are_told(train: Train, overrides: tuple[str, ...], message: str,
                           capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    with pytest.raises((SystemExit, UserError)):
        train("run", *overrides)
    assert message in capsys.readouterr().err


def test_torchvisions_transforms(train: Train) -> None:
    blur = "+augmentation.extra.blur={_target_: torchvision.transforms.v2.GaussianBlur, kernel_size: 5}"
    once, again = (train(name, blur) for name in ("once", "again"))
    assert (once / "metrics.csv").is_file()
    losses = [[row.split(",")[3] for row in (run / "metrics.csv").read_text().splitlines()] for run in (once, again)]
    assert losses[0] == losses[1], "it draws from a generator that each step seeds"
