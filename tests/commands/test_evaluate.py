"""`evaluate` on folders: all of their pictures, and the same faces in them that `predict` finds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from gender_lightning.commands.evaluate import evaluate, search_of
from gender_lightning.commands.predict import predict
from gender_lightning.config import EvaluateConfig, PredictConfig, parse_config
from gender_lightning.data.framing import Framing
from gender_lightning.errors import UserError
from gender_lightning.inference.faces.crops import FaceSearch
from gender_lightning.models.backbones import create_backbone
from gender_lightning.models.checkpoints.checkpoint import ModelSpec, read_checkpoint, save_weights, update_spec
from gender_lightning.overrides import complete, compose
from gender_lightning.runs import Run


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(2)
    path = tmp_path_factory.mktemp("evaluate") / "best.ckpt"
    net = create_backbone("timm/test_resnet", image_size=32)
    save_weights(path, net.state_dict(), ModelSpec("timm/test_resnet", Framing(32)))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A face at several places of a photograph, two in one, and a photograph without any."""
    import matplotlib.cbook

    root = tmp_path_factory.mktemp("people")
    with Image.open(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)) as image:
        hopper = image.convert("RGB").resize((170, 200))
    for name, places in {
        "female/a": [(0, 0)], "female/b": [(200, 60)], "male/c": [(90, 20)], "male/d": [(0, 0), (200, 100)],
        "male/nobody": [],
    }.items():  # fmt: skip
        canvas = Image.new("RGB", (450, 450), (90, 110, 130))
        for place in places:
            canvas.paste(hopper, place)
        (root / name).parent.mkdir(exist_ok=True)
        canvas.save(root / f"{name}.png")
    return root


def evaluated(checkpoint: Path, folder: Path, output: Path, *typed: str) -> pd.DataFrame:
    texts = [f"checkpoint={checkpoint}", "data=folder", f"data.root={folder}", f"output={output}", *typed]
    quick = ["data.workers=0", "resamples=100", "corruptions=none", "images=false", "accelerator=cpu"]
    evaluate(parse_config(EvaluateConfig, compose("evaluate", complete("evaluate", [*texts, *quick]))))
    return pd.read_parquet(output / "predictions.parquet").set_index("image_id")


@pytest.mark.parametrize("faces", ["auto", "detect", "none"])
def test_all_pictures_of_a_folder_are_judged_as_predict_judges_them(
    checkpoint: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faces: str
) -> None:
    typed = [] if faces == "auto" else [f"faces={faces}"]  # auto is what another folder gets
    table = evaluated(checkpoint, folder, tmp_path / "out", *typed)
    monkeypatch.chdir(folder)
    texts = [f"checkpoint={checkpoint}", "input=[female,male]", f"output={tmp_path / 'p.csv'}", f"faces={faces}"]
    predict(parse_config(PredictConfig, compose("predict", [*texts, "workers=0", "accelerator=cpu"])))
    rows = pd.read_csv(tmp_path / "p.csv").dropna(subset="probability").drop_duplicates("image").set_index("image")
    assert len(rows) == len(table) == (5 if faces == "none" else 4)
    assert np.allclose(table["probability"], rows.loc[table.index, "probability"], atol=1e-5)
    skipped = tmp_path / "out" / "skipped.csv"
    assert skipped.exists() == (faces != "none")
    if skipped.exists():
        assert pd.read_csv(skipped).to_numpy().tolist() == [["male/nobody.png", "test", "no face found"]]


def test_faces_are_looked_for_as_typed(checkpoint: Path, folder: Path, tmp_path: Path) -> None:
    with Image.open(folder / "male" / "c.png") as image:
        image.rotate(90, expand=True).save(tmp_path / "turned.png")
    for kind in ("female", "male"):
        shutil.copytree(folder / kind, tmp_path / "people" / kind)
    (tmp_path / "turned.png").replace(tmp_path / "people" / "male" / "turned.png")
    for typed, found in ((("rotate=true",), 5), (("min_face=300",), 0)):
        output = tmp_path / f"out{found}"
        if not found:  # nobody has a face as large as that
            with pytest.raises(UserError):
                evaluated(checkpoint, tmp_path / "people", output, *typed)
        else:
            assert len(evaluated(checkpoint, tmp_path / "people", output, *typed)) == found


def run_on(root: Path, path: Path, checkpoint: Path, **config: object) -> Path:
    """The directory of a run that was trained on a folder, with a checkpoint of the time before placements."""
    (path / "checkpoints").mkdir(parents=True)
    (path / "run.json").write_text("{}")
    data = compose("evaluate", ["checkpoint=x", "data=folder", f"data.root={root}"])["data"]
    (path / "config.yaml").write_text(json.dumps({"data": data, **config}))
    content = torch.load(checkpoint, weights_only=True)
    del content["gender_lightning"]["placement"]
    torch.save(content, path / "checkpoints" / "best.ckpt")
    return path


def test_an_old_checkpoint_of_a_folder_is_read_as_is(checkpoint: Path, folder: Path, tmp_path: Path) -> None:
    run = run_on(folder, tmp_path / "run", checkpoint)
    assert read_checkpoint(run)[0].placement is None
    update_spec(run, temperature=2.0)
    assert read_checkpoint(run)[0].placement is None, "a change of another field decides nothing"
    (run / "config.yaml").write_text(json.dumps({"data": {"name": "celeba"}}))
    assert read_checkpoint(run)[0] == ModelSpec("timm/test_resnet", Framing(32), temperature=2.0)
    for file in ("config.yaml", "run.json"):  # a moved file, which cannot tell
        (run / file).unlink()
        assert read_checkpoint(run)[0].placement is not None


def test_the_runs_own_folder_is_split_as_for_its_training(checkpoint: Path, folder: Path, tmp_path: Path) -> None:
    run = run_on(folder, tmp_path / "run", checkpoint, faces="detect", min_face=40)

    def composed(*typed: str) -> EvaluateConfig:
        return parse_config(EvaluateConfig, compose("evaluate", complete("evaluate", [f"checkpoint={run}", *typed])))

    def sizes(*typed: str) -> tuple[float, ...]:
        return tuple(composed(*typed).data.sizes.model_dump().values())  # type: ignore[union-attr]

    tenth, everything = (0.8, 0.1, 0.1), (0.0, 0.0, 1.0)
    assert sizes() == sizes("data=folder", f"data.root={folder}/") == tenth
    assert sizes("data=folder", "data.root=/other") == sizes("data.root=/other") == everything
    assert sizes("data=folder", "data.root=/other", "split=valid") == (0.0, 1.0, 0.0)
    chosen = "data.sizes={train:0,valid:0,test:9}"
    assert sizes("data=folder", "data.root=/other", chosen) == (0, 0, 9)
    own, other, celeba = composed(), composed("data.root=/other"), composed("data=celeba")
    found = [search_of(config, Run.of(run)) for config in (own, other, celeba)]
    assert found == [FaceSearch("detect", min_face=40), FaceSearch("auto"), FaceSearch("none")]
    typed = [composed("rotate=true", *more) for more in ([], ["data.root=/other"], ["faces=auto", "data=celeba"])]
    found = [search_of(config, Run.of(run)) for config in typed]
    assert found == [FaceSearch(faces, rotate=True) for faces in ("detect", "auto", "auto")]
    with pytest.raises(UserError, match=r"have no effect: .* Add faces=auto"):
        search_of(composed("data=celeba", "min_face=40"), Run.of(run))
    with pytest.raises(UserError, match=r"min_face and rotate have no effect with faces=none"):
        composed("faces=none", "min_face=40", "rotate=true")
