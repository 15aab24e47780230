"""Several checkpoints where one stands, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
from PIL import Image
from small_runs import make_run

from gender_lightning.commands.evaluate import evaluate
from gender_lightning.commands.export import export
from gender_lightning.commands.population import population
from gender_lightning.commands.predict import Predictions, predict
from gender_lightning.config import EvaluateConfig, ExportConfig, PopulationConfig, PredictConfig, parse_config
from gender_lightning.errors import UserError, UserErrors
from gender_lightning.exporting import files
from gender_lightning.inference.predictor import load
from gender_lightning.overrides import complete, compose
from gender_lightning.verbs import COMMANDS

CPU = "accelerator=cpu"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("several runs")
    return [make_run(root / "été #1", 1), make_run(root / "a=b & c", 2)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("people")
    for number in range(12):
        (root / ("female", "male")[number % 2]).mkdir(exist_ok=True)
        small = np.random.default_rng(number).integers(0, 256, (6, 5, 3), dtype=np.uint8)
        Image.fromarray(small).resize((89, 109)).save(root / ("female", "male")[number % 2] / f"{number:02d}.png")
    return root


def listed(runs: list[Path]) -> str:
    return f"checkpoint=[{','.join(map(str, runs))}]"  # as typed: without quotes


def predicted(checkpoint: str, folder: Path, output: Path, *typed: str) -> pd.DataFrame:
    texts = [checkpoint, f"input={folder}", f"output={output}", "faces=none", "workers=0", CPU, *typed]
    predict(parse_config(PredictConfig, compose("predict", complete("predict", texts))))
    return Predictions(output, {}).table()


def logit(table: pd.DataFrame) -> np.ndarray:
    p = table["probability"].to_numpy(np.float64)
    return np.log(p / (1 - p))


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".jsonl"])
def test_predict_writes_the_mean_and_the_disagreement(
    runs: list[Path], folder: Path, tmp_path: Path, ending: str
) -> None:
    alone = [predicted(f"checkpoint={run}", folder, tmp_path / f"{run.name}{ending}") for run in runs]
    table = predicted(listed(runs), folder, tmp_path / f"both{ending}", "min_confidence=0")
    temperature = load(runs, device="cpu").spec.temperature
    assert np.allclose(logit(table), np.mean([logit(one) for one in alone], axis=0) / temperature, atol=1e-4)
    assert "disagreement" not in alone[0] and table["disagreement"].between(0, np.log(2)).all()
    limit = float(table["disagreement"].median())
    strict = predicted(listed(runs), folder, tmp_path / f"c{ending}", "min_confidence=0", f"max_disagreement={limit}")
    assert ((strict["label"] == "uncertain") == (table["disagreement"] > limit)).all()
    again = predicted(listed(runs[:1]), folder, tmp_path / f"one{ending}")
    pd.testing.assert_frame_equal(again, alone[0])


def test_a_table_is_continued_by_the_same_checkpoints_only(runs: list[Path], folder: Path, tmp_path: Path) -> None:
    before = predicted(listed(runs), folder / "male", tmp_path / "a.csv")
    after = predicted(listed(runs[::-1]), folder, tmp_path / "a.csv", "resume=true")
    pd.testing.assert_frame_equal(after.iloc[:6], before)
    assert len(after) == 12 and after["disagreement"].notna().all()
    for other in (runs[:1], [*runs, make_run(tmp_path / "third", 3)]):
        with pytest.raises(UserError, match="was made with checkpoint="):
            predicted(listed(other), folder, tmp_path / "a.csv", "resume=true")


def test_evaluate_measures_the_mean(runs: list[Path], folder: Path, tmp_path: Path) -> None:
    typed = ["data=folder", f"data.root={folder}", "faces=none", "data.workers=0", "resamples=100", CPU]
    how = ["corruptions=none", f"output={tmp_path / 'out'}"]
    config = compose("evaluate", complete("evaluate", [listed(runs), *typed, *how]))
    evaluation = evaluate(parse_config(EvaluateConfig, config))
    table = pd.read_parquet(tmp_path / "out" / "predictions.parquet").set_index("image_id")
    told = predicted(listed(runs), folder, tmp_path / "p.csv").set_index("image")
    told.index = [str(Path(image).relative_to(folder)) for image in told.index]
    assert np.allclose(table["probability"], told.loc[table.index, "probability"], atol=1e-6)
    assert np.allclose(table["disagreement"], told.loc[table.index, "disagreement"], atol=1e-6)
    assert evaluation.checkpoint == listed(runs).removeprefix("checkpoint=")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "The mean of several checkpoints has no heat maps" in page
    with pytest.raises(UserError, match="no run directory of their own"):
        evaluate(parse_config(EvaluateConfig, compose("evaluate", complete("evaluate", [listed(runs), *typed]))))


def test_evaluate_does_not_mix_splits(runs: list[Path], tmp_path: Path) -> None:
    other = make_run(tmp_path / "other", 2, data={"name": "celeba", "seed": 2})
    with pytest.raises(UserError, match="were trained on different data or splits"):
        complete("evaluate", [listed([runs[0], other])])


def test_population_is_corrected_by_the_mean_on_valid(runs: list[Path], folder: Path, tmp_path: Path) -> None:
    how = [f"input={folder}", "faces=none", "minimum=10", "draws=200", "workers=0", CPU]
    lines = population(
        parse_config(PopulationConfig, compose("population", complete("population", [listed(runs), *how])))
    )
    assert lines[0].estimate.faces == 12
    (runs[1] / "predictions" / "valid.parquet").rename(tmp_path / "valid.parquet")
    try:
        with pytest.raises(UserError, match="are not inside run directories with"):
            population(
                parse_config(PopulationConfig, compose("population", complete("population", [listed(runs), *how])))
            )
    finally:
        (tmp_path / "valid.parquet").rename(runs[1] / "predictions" / "valid.parquet")


@pytest.mark.slow
def test_one_file_holds_all_of_them(runs: list[Path], folder: Path, tmp_path: Path) -> None:
    how = [f"output={tmp_path / 'both.onnx'}", "data=folder", f"data.root={folder}", "images=4", "split=test"]
    typed = complete("export", [listed(runs), *how, "seconds=0", "batch_sizes=[1,3]"])
    made = export(parse_config(ExportConfig, compose("export", typed)))
    picture = np.array(Image.open(folder / "male" / "01.png"))
    said = load(runs, device="cpu", faces="none").predict(Image.fromarray(picture))
    ours = files.open_onnx(made, 1)(picture.transpose(2, 0, 1)[None].copy())[:, 0]
    assert ours == pytest.approx([said.probability, said.disagreement], abs=1e-5)
    told = {item.key: item.value for item in onnx.load(str(made)).metadata_props}
    assert [one["framing"]["image_size"] for one in json.loads(told["members"])] == [48, 32]
    with pytest.raises(UserError, match="quantize=int8 needs checkpoints of one image size"):
        export(parse_config(ExportConfig, compose("export", [*typed, "quantize=int8"])))


@pytest.mark.parametrize(
    ("verb", "rest", "why"),
    [
        ("push", ["output=x"], "a repository on the hub holds one model"),
        ("refit", ["data=synthetic", "output=x"], "several networks have no last layer in common"),
    ],
)
def test_what_takes_one_checkpoint_says_why_and_what_to_do(verb: str, rest: list[str], why: str) -> None:
    schema = COMMANDS[verb].schema
    with pytest.raises(UserErrors, match=why) as caught:
        parse_config(schema, compose(verb, ["checkpoint=[a,b]", *rest]))
    assert [error.field for error in caught.value.mistakes] == ["checkpoint"] and caught.value.mistakes[0].remedy
    alone = parse_config(schema, compose(verb, ["checkpoint=[a]", *rest]))
    assert alone.checkpoint == "a"
