"""`compare`: from run directories to a table, a page and a verdict; and what it refuses."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from comparison.simulated_runs import make_run_at
from sklearn.metrics import roc_auc_score
from wandb_helpers import history, records

from gender_lightning.runs import Run

Command = Callable[..., None]
MODEL = ("model=timm", "model.name=timm/test_resnet", "data=celeba", "data.image_size=32")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds of one recipe, one clearly worse recipe, and a run that has failed."""
    directory = tmp_path_factory.mktemp("compare") / "sweep"
    make_run_at(directory / "0", *MODEL, seed=1, skill=3.0, checkpoint=True)
    make_run_at(directory / "1", *MODEL, seed=2, skill=3.0, checkpoint=True)
    make_run_at(directory / "2", *MODEL, "optimizer.lr=0.5", skill=1.0)
    make_run_at(directory / "3", *MODEL, "optimizer.lr=0.6", status="failed")
    return directory


def refused(command: Command, capsys: pytest.CaptureFixture[str], *overrides: str) -> str:
    with pytest.raises(SystemExit) as stop:
        command("compare", *overrides)
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_a_sweep_is_compared(sweep: Path, command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    speed = ("speed.batch_size=2", "speed.seconds=0.01", "speed.repeats=2")
    command("compare", f"runs={sweep}", f"output={out}", "accelerator=cpu", "wandb=true", *speed)
    read = records(Run(out))
    opened = next(record["run"] for record in read if record["type"] == "run")
    assert (opened["job_type"], opened["display_name"]) == ("compare", "compare out")
    assert history(read)["comparison.nrows"] == [2] and "comparison_page._type" in history(read)
    said = json.loads((out / "comparison.json").read_text())
    assert [(row["label"], row["n"]) for row in said["rows"]] == [("test_resnet", 2), ("test_resnet lr=0.5", 1)]
    tables = [pd.read_parquet(sweep / name / "predictions" / "test.parquet") for name in ("0", "1")]
    accuracies = [((table["probability"] >= 0.5) == (table["label"] == 1)).mean() for table in tables]
    first = said["rows"][0]
    assert first["accuracy"]["mean"] == pytest.approx(sum(accuracies) / 2)
    assert first["accuracy"]["sd"] == pytest.approx(pd.Series(accuracies).std())
    assert first["auroc"]["values"] == pytest.approx(
        [roc_auc_score(table["label"], table["logit"]) for table in tables]
    )
    assert first["cost"]["image_size"] == 32 and first["inference_images_per_second"] > 0
    assert first["training_minutes"] == pytest.approx([121 / 60, 122 / 60])
    (pair,) = said["pairs"]
    assert pair["first"] == "test_resnet" and pair["differs"] and len(pair["mcnemar"]) == 2
    assert said["verdict"].startswith("test_resnet is the most accurate")
    assert any("3: this run has failed" in note for note in said["notes"])
    assert any("no checkpoints/best.ckpt of test_resnet lr=0.5" in note for note in said["notes"])
    assert pair["said"] in capsys.readouterr().out.replace("\n", " ")
    assert f"**{said['verdict']}**" in (out / "comparison.md").read_text()
    page = (out / "comparison.html").read_text()
    assert said["verdict"] in page and "http://" not in page.replace("http://www.w3.org", "") and "src=" not in page
    for name in ("recalls", "slices"):  # a single row has a cost, which makes no figure
        ET.parse(out / "figures" / f"{name}.svg")
        assert (out / "figures" / f"{name}.png").stat().st_size > 5000
    assert sorted(path.name for path in out.iterdir()) == [
        "comparison.html", "comparison.json", "comparison.md", "figures", "wandb",
    ]  # fmt: skip


def test_a_search_is_compared_on_valid_and_says_so(command: Command, tmp_path: Path) -> None:
    for number, lr in enumerate(("0.01", "0.02")):
        trial = (*MODEL, f"optimizer.lr={lr}", "test=false")
        make_run_at(tmp_path / "search" / str(number), *trial, skill=2.0 + number, splits=("valid",))
    command("compare", f"runs={tmp_path / 'search'}", f"output={tmp_path / 'out'}", "speed.measure=false")
    said = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert said["split"] == "valid" and any("compared on valid" in note for note in said["notes"])
    assert said["inference_machine"]["cores"] and all(row["inference_samples"] == [] for row in said["rows"])


def test_what_cannot_be_compared_leaves_nothing(
    sweep: Path, command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = f"output={tmp_path / 'out'}"
    assert "There is one run to compare" in refused(command, capsys, f"runs=[{sweep / '0'}]", out)
    assert "this run has failed" in refused(command, capsys, f"runs=[{sweep / '0'},{sweep / '3'}]", out)
    assert "this glob matches nothing" in refused(command, capsys, f"runs={sweep}/9*", out)
    other = make_run_at(tmp_path / "other", *MODEL, images=300)
    assert "tested on different images" in refused(command, capsys, f"runs=[{sweep},{other}]", out)
    none = make_run_at(tmp_path / "none", *MODEL, seed=9, splits=())
    assert "has no predictions of test" in refused(command, capsys, f"runs=[{sweep / '0'},{none}]", out)
    assert "has no predictions of folder-test" in refused(
        command, capsys, f"runs={sweep}", "evaluation=folder-test", out
    )
    assert "runs: a value is missing. Give runs=..." in refused(command, capsys, out)
    assert "a list has brackets. Write runs=[a,b]." in refused(command, capsys, "runs=a,b", out)
    assert "it should name runs: runs=[A,B]" in refused(command, capsys, "runs=[]", out)
    assert not (tmp_path / "out").exists()
