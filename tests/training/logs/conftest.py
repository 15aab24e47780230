"""A run to log from, and W&B as on a machine where nobody is logged in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import wandb
from wandb_helpers import isolate, make_run

from gender_lightning.runs import Run


@pytest.fixture
def isolated_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    isolate(monkeypatch, tmp_path / "home")
    wandb.teardown()  # W&B keeps the settings of the environment it met first
    yield
    wandb.teardown()


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return make_run(tmp_path / "run")
