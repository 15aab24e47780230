"""`evaluate`: the run's own numbers come out again, on any data, and the checkpoint stays as it is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gender_lightning.evaluation.results import Evaluation

Finished = tuple[Path, list[str]]
Command = Callable[..., None]


@pytest.fixture
def folder(faces: Path, tmp_path: Path) -> Path:
    """The test faces in class folders."""
    lines = (faces / "list_attr_celeba.txt").read_text().splitlines()
    male = lines[1].split().index("Male") + 1
    partition = dict(line.split() for line in (faces / "list_eval_partition.txt").read_text().splitlines())
    for cells in (line.split() for line in lines[2:]):
        if partition[cells[0]] == "2":
            place = tmp_path / "folder" / "test" / ("Men" if cells[male] == "1" else "women")
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(faces / "img_align_celeba" / cells[0], place)
    return tmp_path / "folder"


# of valid, the chaos of test_search.py says it too
@pytest.mark.parametrize("split", ["test", pytest.param("valid", marks=(pytest.mark.slow, pytest.mark.nightly))])
def test_own_data_give_the_runs_own_metrics(finished: Finished, command: Command, split: str) -> None:
    run, _ = finished
    before = (run / "checkpoints" / "best.ckpt").read_bytes()
    command("evaluate", f"checkpoint={run}", f"split={split}", "data.workers=0", "resamples=200")
    place, prefix = run / "evaluation" / f"celeba-{split}", "val" if split == "valid" else split
    trained = {k: v for k, v in json.loads((run / "metrics.json").read_text()).items() if k.startswith(prefix)}
    try:
        evaluated = json.loads((place / "metrics.json").read_text())
        assert {name: evaluated[name] for name in trained} == pytest.approx(trained, abs=1e-5)
        assert evaluated[f"{prefix}/accuracy_low"] is None  # of fewer than ten persons no interval is given
        table = pd.read_parquet(place / "predictions.parquet")
        expected = pd.read_parquet(run / "predictions" / f"{split}.parquet")
        assert np.allclose(table["probability"], expected["probability"], atol=1e-5)
        said = ["logit", "probability"]
        pd.testing.assert_frame_equal(table[expected.columns].drop(columns=said), expected.drop(columns=said))
        assert {"brightness", "head_turn"} <= set(table.columns)
        read = Evaluation.from_dict(json.loads((place / "evaluation.json").read_text()))
        assert read.split == split and read.flat() == pytest.approx(evaluated, nan_ok=True)
        assert len(pd.read_csv(place / "slices.csv")) == len(read.slices) > 80
        assert len(pd.read_csv(place / "suspects.csv")) == read.suspects
        assert "## Out of scope" in (place / "model_card.md").read_text()
        assert (run / "checkpoints" / "best.ckpt").read_bytes() == before
    finally:
        shutil.rmtree(run / "evaluation")  # other tests look at this run directory


def test_another_data_set_and_a_place_to_choose(
    finished: Finished, command: Command, folder: Path, tmp_path: Path
) -> None:
    run, _ = finished
    checkpoint = run / "checkpoints" / "best.ckpt"
    before = checkpoint.read_bytes()
    command(
        "evaluate",
        f"checkpoint={checkpoint}",
        "data=folder",
        f"data.root={folder}",
        "data.workers=0",
        "resamples=200",
        f"output={tmp_path / 'out'}",
    )
    table = pd.read_parquet(tmp_path / "out" / "predictions.parquet").set_index("image_id")
    expected = pd.read_parquet(run / "predictions" / "test.parquet").set_index("image_id")
    names = [Path(name).name for name in table.index]
    assert sorted(names) == sorted(expected.index) and table["identity"].isna().all()
    assert np.allclose(table["probability"], expected.loc[names, "probability"], atol=1e-5)
    accuracy = json.loads((run / "metrics.json").read_text())["test/accuracy"]
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["test/accuracy"] == pytest.approx(accuracy)
    assert checkpoint.read_bytes() == before and not (run / "evaluation").exists()


def test_a_checkpoint_outside_of_a_run_needs_a_place(
    finished: Finished, command: Command, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(finished[0] / "checkpoints" / "last.ckpt", tmp_path / "moved.ckpt")
    arguments = [
        "evaluate",
        f"checkpoint={tmp_path / 'moved.ckpt'}",
        "data=celeba",
        f"data.root={faces}",
        "data.workers=0",
        "resamples=200",
    ]
    with pytest.raises(SystemExit) as stop:
        command(*arguments)
    assert stop.value.code == 2 and "output=" in capsys.readouterr().err
    command(*arguments, f"output={tmp_path / 'out'}")
    assert len(pd.read_parquet(tmp_path / "out" / "predictions.parquet")) == 13
