"""A few drawn faces, and the command line as a function."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typed_commands import type_in

from gender_lightning.synthetic.faces import draw_faces

SIZES = {"train": 33, "valid": 15, "test": 13}  # none divides by two or by a batch
SMALL_MODEL = ("model=timm", "model.name=timm/test_resnet")


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of synthetic faces in CelebA's layout; the classes are nearly balanced in each split."""
    root = tmp_path_factory.mktemp("end_to_end") / "faces"
    draw_faces(root, SIZES, seed=21)
    return root


@pytest.fixture(scope="session")
def celeba_of(faces: Path) -> Callable[..., list[str]]:
    """Overrides that read the faces small; what comes after them in a command line wins."""

    def overrides(*more: str) -> list[str]:
        return [
            "data=celeba", f"data.root={faces}", "data.image_size=32", "data.batch_size=8", "data.workers=0",
            "logger=csv", "trainer.accelerator=cpu", "trainer.precision=32-true", "trainer.max_epochs=1", *more,
        ]  # fmt: skip

    return overrides


@pytest.fixture(scope="session")
def command(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., None]:
    """`gender-lightning ...` in this process, see `type_in`."""
    cache = tmp_path_factory.mktemp("cache")

    def run(*arguments: str) -> None:
        type_in(arguments, cache)

    return run


@pytest.fixture
def train(command: Callable[..., None], celeba_of: Callable[..., list[str]], tmp_path: Path) -> Callable[..., Path]:
    """`train` with the smallest network, unless the overrides choose another. Returns the run directory."""

    def run(name: str, *overrides: str) -> Path:
        chosen = any(text.startswith("model=") for text in overrides)
        command("train", *celeba_of(f"run_dir={tmp_path / name}", *(() if chosen else SMALL_MODEL), *overrides))
        return tmp_path / name

    return run


@pytest.fixture(scope="session")
def finished(
    command: Callable[..., None], celeba_of: Callable[..., list[str]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[str]]:
    """A ResNet18 that was trained for two epochs: its run directory, and the overrides that were typed."""
    directory = tmp_path_factory.mktemp("runs") / "finished"
    typed = celeba_of("model=resnet18", "trainer.max_epochs=2", "optimizer.lr=0.001", f"run_dir={directory}")
    command("train", *typed)
    return directory, typed
