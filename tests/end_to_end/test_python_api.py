"""The commands as functions: twice in one process, results typed, errors raised, the process left as it was."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from process_state import left_as_it_was

import gender_lightning
from gender_lightning import Run, UserError, compare, evaluate, export, load, population, predict, search, train
from gender_lightning.errors import UserErrors

Overrides = Callable[..., list[str]]
SMALL = ("model=timm", "model.name=timm/test_resnet")


@pytest.fixture(scope="module")
def runs(celeba_of: Overrides, tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """Two trainings in this process that differ in the seed and the size."""
    place = tmp_path_factory.mktemp("api")
    importlib.import_module("cv2")  # libraries set something up when they are imported
    for command in ("train", "evaluate", "compare", "predict"):
        importlib.import_module(f"gender_lightning.commands.{command}")
    with left_as_it_was():
        first = train(*celeba_of(*SMALL), seed=1, run_dir=place / "first")
    with left_as_it_was():
        second = train(*celeba_of(*SMALL, "augmentation=none"), {"data.image_size": 40}, seed=2, run_dir=place / "a b")
    return [first, second]


def test_two_trainings_in_one_process_are_two_runs(runs: list[Run]) -> None:
    first, second = runs
    assert [run.info()["status"] for run in runs] == ["done", "done"]
    assert first.path.name == "first" and second.path.name == "a b"
    assert (first.config()["seed"], second.config()["seed"]) == (1, 2)
    assert second.config()["data"]["image_size"] == 40 and second.config()["augmentation"]["random_rotation"] == 0
    assert first.metrics() == json.loads((first.path / "metrics.json").read_text())
    assert set(first.metrics()) == set(second.metrics()) >= {"test/accuracy", "val/loss"}


def test_what_was_called_can_be_typed(runs: list[Run]) -> None:
    assert runs[1].info()["command"].startswith("gender-lightning train ")
    assert "seed=2" in runs[1].info()["command"]


def test_a_run_is_a_path(runs: list[Run], faces: Path) -> None:
    assert Path(runs[0]) == runs[0].path
    face = next((faces / "img_align_celeba").iterdir())
    assert 0 <= load(runs[0], "cpu").predict(face).probability <= 1


@pytest.mark.slow
def test_evaluate_and_compare_return_what_they_write(runs: list[Run], tmp_path: Path) -> None:
    small = {"corruptions": "none", "images": False, "resamples": 100, "accelerator": "cpu"}
    with left_as_it_was():
        evaluation = evaluate(checkpoint=runs[0], output=tmp_path / "page", **small)
    table = pd.read_parquet(tmp_path / "page" / "predictions.parquet")
    right = (table["probability"] >= 0.5) == (table["label"] == 1)
    assert evaluation.metrics["accuracy"].value == pytest.approx(right.mean())
    comparison = compare(runs=runs, output=tmp_path / "compared", speed={"measure": False}, accelerator="cpu")
    assert comparison.verdict.headline == json.loads((tmp_path / "compared" / "comparison.json").read_text())["verdict"]


def test_predict_returns_its_table(runs: list[Run], faces: Path, tmp_path: Path) -> None:
    pictures = sorted((faces / "img_align_celeba").iterdir())[:5]
    output = tmp_path / "faces.csv"
    predictions = predict(
        checkpoint=runs[0], input=pictures, output=output, faces="none", workers=0, accelerator="cpu", min_confidence=0
    )
    written = pd.read_csv(output)
    table = predictions.table()
    assert predictions.path == output and predictions.counts["pictures"] == len(table) == 5
    assert table["image"].tolist() == written["image"].tolist() == [str(picture) for picture in pictures]
    assert table["label"].tolist() == written["label"].tolist()
    with pytest.raises(UserError, match="exists already"):
        predict(checkpoint=runs[0], input=pictures, output=output, faces="none", accelerator="cpu")


@pytest.mark.slow
def test_population_and_export_return_their_results(runs: list[Run], faces: Path, tmp_path: Path) -> None:
    learned = shutil.copytree(runs[0].path, tmp_path / "learned")
    reference = learned / "predictions" / "valid.parquet"
    table = pd.read_parquet(reference)  # two epochs on 33 faces tell nobody apart
    table["logit"] = np.where(table["label"] == 1, 200.0, -200.0).astype("float32")
    table["probability"] = table["label"].astype("float32")
    table.to_parquet(reference)
    counted = population(checkpoint=learned, input=faces / "img_align_celeba", faces="none", minimum=10, workers=0)
    assert counted[0].estimate.faces == 61 and 0 <= counted[0].estimate.share <= 1
    file = export(checkpoint=runs[0], format="torch_export", seconds=0, images=2, output=tmp_path / "face.pt2")
    assert file == tmp_path / "face.pt2" and file.is_file()


def test_mistakes_are_raised_at_once_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with left_as_it_was(), pytest.raises(UserErrors) as caught:
        train(model="resnet5", optimizer={"lr": -1}, logger="csv")
    fields = sorted(str(mistake.field) for mistake in caught.value.mistakes)
    assert fields == ["model", "optimizer.lr"]
    with left_as_it_was(), pytest.raises(UserError, match="does not exist"):
        train("data=folder", data={"root": "nowhere"}, logger="csv")
    with left_as_it_was(), pytest.raises(UserError, match="run directory"):
        evaluate(checkpoint="nowhere")
    with pytest.raises(UserError, match="flags belong to the command line"):
        train("-m", "seed=1,2")
    with pytest.raises(UserError, match="nothing to search"):
        search(model="resnet18")
    assert capfd.readouterr() == ("", "") and not list(tmp_path.iterdir())


def test_an_error_of_the_program_is_raised_as_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(values: object) -> None:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr("gender_lightning.commands.compare.main", broken)
    with left_as_it_was(), pytest.raises(ZeroDivisionError, match="ours"):
        compare(runs=["a", "b"])


def test_the_package_alone_imports_nothing_heavy() -> None:
    told = "import sys, gender_lightning as g; g.UserError; print(sorted({m.partition('.')[0] for m in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert not {"torch", "numpy", "hydra", "pydantic", "yaml", "rich", "pandas"} & set(eval(done.stdout))


@pytest.mark.parametrize("name", gender_lightning.__all__)
def test_every_name_is_there_whatever_was_imported_before(name: str) -> None:
    import gender_lightning.exporting
    import gender_lightning.training

    found = getattr(gender_lightning, name)
    assert name == "__version__" or (callable(found) and name in dir(gender_lightning))


@pytest.mark.slow
def test_a_notebook_trains_twice_and_shows_lines(
    celeba_of: Overrides, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / ".jupyter"))
    typed = celeba_of(*SMALL)
    cells = ["from gender_lightning import UserError, train"]
    cells += [f"run = train(*{typed}, seed={seed}, run_dir={str(tmp_path / str(seed))!r})" for seed in (1, 2)]
    cells += ["try:\n    train(model='resnet5')\nexcept UserError as error:\n    print(error)"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(
        notebook, kernel_name="python3", timeout=250, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    said = [
        "".join(str(output.get("text", output.get("data", {}).get("text/plain", ""))) for output in cell.outputs)
        for cell in notebook.cells
    ]
    assert all("epoch 1/1" in text and "Warning" not in text for text in said[1:3])
    assert "Did you mean" in said[3]
