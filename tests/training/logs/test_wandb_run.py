from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import wandb
from PIL import Image
from wandb_helpers import config, fit, history, isolate, logits_of, make_run, records, wandb_config

from gender_lightning.commands.train import worst_faces
from gender_lightning.diagnostics.gallery import with_decisions
from gender_lightning.evaluation.predictions import COLUMNS, write_predictions
from gender_lightning.runs import Run
from gender_lightning.training.logs.loggers import finish_loggers, make_loggers
from gender_lightning.training.logs.wandb_run import WandbReport, WorstFaces, log_curves, report_run


@pytest.fixture(autouse=True)
def _isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    isolate(monkeypatch, tmp_path / "home")
    wandb.teardown()
    yield
    wandb.teardown()


def make_table(labels: np.ndarray, split: str) -> pd.DataFrame:
    logits = logits_of(labels, len(split))
    columns = {"image_id": [f"{i}.jpg" for i in range(len(labels))], "split": split, "label": labels.astype(np.int8)}
    columns |= {"logit": logits, "probability": 1 / (1 + np.exp(-logits)), "identity": None}
    return pd.DataFrame(columns)[list(COLUMNS)]


def media(run: Run, path: str) -> Path:
    return next(run.path.glob("wandb/offline-run-*")) / "files" / path


def read_table(run: Run, columns: dict[str, list[Any]], key: str) -> list[list[Any]]:
    rows = json.loads(media(run, columns[f"{key}_table.path"][0]).read_text())["data"]
    assert isinstance(rows, list)
    return rows


def finished_run(path: Path) -> tuple[Run, dict[str, pd.DataFrame]]:
    run = make_run(path)
    loggers = make_loggers(wandb_config(), run)
    fit(run, loggers, WandbReport(), epochs=2)
    tables = {split: make_table(np.arange(n) % 3 == 0, split) for split, n in (("valid", 40), ("test", 60))}
    for split, table in tables.items():
        write_predictions(table, run.predictions / f"{split}.parquet")
    run.best.write_bytes(b"w" * 1000)
    run.write_metrics({"val/accuracy": 0.75, "test/accuracy": 0.5})
    rows = with_decisions(tables["valid"]).nlargest(3, "loss")
    faces = np.arange(3 * 8 * 8 * 3, dtype=np.uint8).reshape(3, 8, 8, 3)
    report_run(loggers, run, log_model=True, worst=lambda: WorstFaces(faces, rows))
    finish_loggers(loggers, 0)
    return run, tables


def test_offline_file_holds_everything(tmp_path: Path) -> None:
    run, tables = finished_run(tmp_path / "run")
    read = records(run)
    columns = history(read)

    paths = columns["train/augmented_batch.path"]
    assert len(paths) == 1  # of two epochs with two batches each
    assert Image.open(media(run, paths[0])).size == (4 * 96, 96)

    charts = [key for key in config(read) if key.startswith("_wandb.visualize.")]
    kinds = ("confusion_matrix", "precision_recall_curve", "roc_curve")
    assert sorted(charts) == sorted(f"_wandb.visualize.{split}/{kind}" for split in ("val", "test") for kind in kinds)
    counts = {(a, p): n for a, p, n in read_table(run, columns, "test/confusion_matrix")}
    decided = tables["test"]["probability"] >= 0.5
    assert counts["male", "male"] == int((decided & (tables["test"]["label"] == 1)).sum())
    assert sum(counts.values()) == 60
    assert read_table(run, columns, "val/roc_curve")[-1] == ["male", 1.0, 1.0]
    assert read_table(run, columns, "val/precision_recall_curve")[0][1] == 1.0

    worst = json.loads(media(run, columns["val/worst_faces.path"][0]).read_text())
    losses = [row[-1] for row in worst["data"]]
    assert worst["columns"][0] == "face" and losses == sorted(losses, reverse=True) and len(losses) == 3
    (kept,) = [r["artifact"] for r in read if r["type"] == "artifact" and "worst_faces" in r["artifact"]["name"]]
    pictures = [entry["local_path"] for entry in kept["manifest"]["contents"] if entry["path"].endswith(".png")]
    assert len(pictures) == 3 and {Image.open(path).size for path in pictures} == {(8, 8)}

    models = [r["artifact"] for r in read if r["type"] == "artifact" and r["artifact"]["type"] == "model"]
    assert len(models) == 1
    assert sorted(models[0]["aliases"]) == ["best", "latest"]
    (entry,) = models[0]["manifest"]["contents"]
    assert (entry["path"], entry["local_path"]) == ("best.ckpt", str(run.best))  # no copy

    updates = [r["summary"].get("update", {}) for r in read if r["type"] == "summary"]
    assert {"val/accuracy": 0.75, "test/accuracy": 0.5}.items() <= {k: v for u in updates for k, v in u.items()}.items()


def test_what_a_split_cannot_show_is_left_out() -> None:
    class Recorder:
        def log(self, charts: dict[str, Any]) -> None:
            names.extend(charts)

    for labels, expected in ((np.zeros(5), 1), (np.ones(5), 2), (np.arange(5) % 2, 3)):
        names: list[str] = []
        log_curves(Recorder(), make_table(labels, "valid"), "val")  # type: ignore[arg-type]
        assert len(names) == expected
    names = []
    log_curves(Recorder(), make_table(np.ones(3), "valid").assign(logit=np.nan), "val")  # type: ignore[arg-type]
    assert names == []


def test_an_empty_run_directory_is_reported_without_fuss(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = make_run(tmp_path / "run")
    loggers = make_loggers(wandb_config(), run)
    report_run(loggers, run, log_model=True)
    finish_loggers(loggers, 1)
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_no_picture_is_logged_where_none_is_wanted(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    loggers = make_loggers(wandb_config(), run)
    fit(run, loggers, WandbReport(picture=False))
    finish_loggers(loggers, 0)
    columns = history(records(run))
    assert columns["train/loss"] and not [name for name in columns if "augmented" in name]
    assert not [*run.path.rglob("*.png")]


def test_the_worst_faces_are_those_with_the_largest_loss(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    table = make_table(np.arange(40) % 2, "valid")
    write_predictions(table, run.predictions / "valid.parquet")
    indices = np.arange(40) + 100  # of a part of the split
    decoded: list[list[int]] = []

    def decode(rows: list[int]) -> torch.Tensor:
        decoded.append(rows)
        return torch.zeros((len(rows), 3, 4, 4), dtype=torch.uint8)

    model: Any = SimpleNamespace(table={"valid": SimpleNamespace(indices=indices)})
    data: Any = SimpleNamespace(dataset=lambda split: SimpleNamespace(decode=decode))
    worst = worst_faces(run, model, data, most=5)
    loss = np.logaddexp(0, np.where(table["label"] == 1, -1, 1) * table["logit"])
    assert decoded == [(np.argsort(-loss)[:5] + 100).tolist()] and worst.pictures.shape == (5, 4, 4, 3)
    assert worst.table["loss"].to_numpy() == pytest.approx(np.sort(loss)[::-1][:5], rel=1e-4)
