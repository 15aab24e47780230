"""A run directory, a small training and a reader of offline W&B files, for the tests of loggers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import wandb
from torch import Tensor, nn
from torch.utils.data import DataLoader

from gender_lightning.config import WandbLogger
from gender_lightning.data.dataset import Batch
from gender_lightning.runs import Run

CONFIG = {"name": "tiny", "seed": 1, "model": {"name": "resnet18", "arguments": {}}, "trainer": {"fast_dev_run": False}}


def isolate(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """Nobody is logged in, and nothing outside of tmp_path is touched."""
    home.mkdir()
    variables = ("WANDB_MODE", "WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_BASE_URL", "WANDB_DIR", "NETRC",
                 "WANDB_PROJECT", "WANDB_NAME", "WANDB_RUN_GROUP", "WANDB_RUN_ID", "WANDB_SWEEP_ID", "WANDB_TAGS",
                 "WANDB_NOTES", "WANDB_ENTITY")  # fmt: skip
    for name in (*variables, "RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name in ("WANDB_CONFIG_DIR", "WANDB_CACHE_DIR"):
        monkeypatch.setenv(name, str(home / name))
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("WANDB_DATA_DIR", "restored by monkeypatch")
    monkeypatch.delenv("WANDB_DATA_DIR")
    monkeypatch.setenv("GENDER_LIGHTNING_RUN_DIR", "restored by monkeypatch")


def make_run(path: Path, **changes: Any) -> Run:
    return Run.create(str(path), {**CONFIG, **changes}, [])


def wandb_config(**changes: Any) -> WandbLogger:
    fields = {"project": "p", "entity": None, "mode": "auto", "group": "g", "tags": ["a", "b"], "log_model": True}
    return WandbLogger(name="wandb", **{**fields, **changes})


def fail(*args: Any, **kwargs: Any) -> Any:
    """Stand in for a function of W&B that raises."""
    raise wandb.errors.CommError("the moon is in the way")


class TinyClassifier(pl.LightningModule):
    """What `WandbReport` needs of a classifier, and one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.spec = SimpleNamespace(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))

    def augmented(self, batch: Batch) -> tuple[Tensor, Tensor]:
        return batch.images.float() / 127.5 - 1, batch.labels.float()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss = (self.weight - batch.labels.float().mean()) ** 2
        self.log("train/loss", loss, on_step=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(run: Run, loggers: list[pl.loggers.Logger], *callbacks: pl.Callback, epochs: int = 1) -> TinyClassifier:
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (4, 3, 32, 32), generator=generator, dtype=torch.uint8)
    batches = [Batch(images, torch.tensor([0, 1, 1, 0]), torch.arange(4))] * 2
    module = TinyClassifier()
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=epochs,
        logger=loggers or False,
        callbacks=[*callbacks],
        log_every_n_steps=1,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=run.path,
    )
    trainer.fit(module, DataLoader(batches, batch_size=None))
    return module


def records(run: Run) -> list[dict[str, Any]]:
    """Every record of the newest offline W&B file, read by W&B's own reader."""
    folder = max(run.path.glob("wandb/offline-run-*"), key=lambda path: path.stat().st_mtime_ns)
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(folder)]
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    return [json.loads(line) for line in output.splitlines()]


def history(read: list[dict[str, Any]]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {}
    for record in read:
        if record["type"] == "history":
            for key, value in record["history"]["item"].items():
                columns.setdefault(key, []).append(value)
    return columns


def config(read: list[dict[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for record in read:
        kind = record["type"]
        if kind in ("run", "config"):
            merged |= (record["run"].get("config", {}) if kind == "run" else record["config"]).get("update", {})
    return merged


def logits_of(labels: np.ndarray, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(np.where(labels == 1, 1.0, -1.0), 1.0).astype(np.float32)
