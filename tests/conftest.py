"""Small faces on disk and in memory, and tests that leave neither the home folder nor the network touched."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch and numpy: workers and what they start have a core each
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from hub_server import hub
from PIL import Image
from postgres import postgres, postgres_url

__all__ = ["hub", "postgres", "postgres_url"]  # fixtures
SIZES = {"train": 24, "valid": 12, "test": 12}
_LEFT_BY_RUNS = (
    "GENDER_LIGHTNING_RUN_DIR", "PL_GLOBAL_SEED", "PL_SEED_WORKERS", "LOCAL_RANK", "NODE_RANK", "RANK", "WORLD_SIZE",
    "MASTER_ADDR", "MASTER_PORT", "SLURM_PROCID",
)  # fmt: skip


@pytest.fixture(autouse=True, scope="session")
def _interruptible() -> None:
    """A shell starts what runs in the background deaf to Ctrl-C, and the tests' own processes would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def _outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a home folder would hold; one for all tests, so that a cached index is used again."""
    return tmp_path_factory.mktemp("outside")


@pytest.fixture(autouse=True)
def _isolated(_outside: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(_outside / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(_outside / "config"))
    for name in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(_outside / "wandb"))
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    for name in _LEFT_BY_RUNS:
        monkeypatch.setenv(name, "")  # registered first, so that what a run sets is undone too
        monkeypatch.delenv(name)
    yield
    if "hydra.core.hydra_config" in sys.modules:  # else Lightning believes that a later test runs under Hydra
        sys.modules["hydra.core.hydra_config"].HydraConfig.instance().cfg = None


@pytest.fixture(scope="session")
def tiny_celeba(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in CelebA's official layout: 24/12/12 JPEGs of 89x109 px, all label files, three images per identity.

    Every other identity is male, none is in two splits. Males are bright on the left, females on the right.
    """
    root = tmp_path_factory.mktemp("tiny") / "celeba"
    (root / "img_align_celeba").mkdir(parents=True)
    splits = [number for number, size in enumerate(SIZES.values()) for _ in range(size)]
    names = [f"{row + 1:06d}.jpg" for row in range(len(splits))]
    males = [row // 3 % 2 == 0 for row in range(len(splits))]
    for row, (name, male) in enumerate(zip(names, males, strict=True)):
        _picture(row, male).save(root / "img_align_celeba" / name, quality=90)

    def write(file: str, head: list[str], cells: list[str]) -> None:
        lines = [*head, *(f"{name} {cell}" for name, cell in zip(names, cells, strict=True))]
        (root / file).write_text("\n".join(lines) + "\n")

    columns = [(row % 4 == 0, male, row % 5 > 0) for row, male in enumerate(males)]
    attributes = [" ".join(" 1" if value else "-1" for value in column) for column in columns]
    write("list_attr_celeba.txt", [str(len(names)), "Eyeglasses Male Young "], attributes)
    write("list_eval_partition.txt", [], [str(split) for split in splits])
    write("identity_CelebA.txt", [], [str(row // 3 + 1) for row in range(len(names))])
    points = "lefteye_x lefteye_y righteye_x righteye_y nose_x nose_y leftmouth_x leftmouth_y rightmouth_x rightmouth_y"
    write("list_landmarks_align_celeba.txt", [str(len(names)), points], ["34 55 54 55 44 67 36 76 53 76"] * len(names))
    return root


@pytest.fixture
def tiny_faces() -> object:
    """uint8 Tensor (8, 3, 32, 32) of smooth pictures."""
    import torch

    pictures = [np.asarray(_picture(row, row % 2 == 0).resize((32, 32))) for row in range(8)]
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()


def _picture(seed: int, male: bool) -> Image.Image:
    """A smooth picture: noise would not survive the compression."""
    small = np.random.default_rng(seed).integers(60, 160, (6, 5, 3), dtype=np.uint8)
    small[:, slice(0, 2) if male else slice(3, 5)] += 90
    return Image.fromarray(small).resize((89, 109), Image.Resampling.BICUBIC)


@pytest.fixture(autouse=True)
def _console_handler_removed() -> Iterator[None]:
    """Commands set the logging up; what one test has set up must not print in the next."""
    yield
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if type(handler).__name__ == "ConsoleHandler"]:
        root.removeHandler(handler)
