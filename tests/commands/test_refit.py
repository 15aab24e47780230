"""`refit` from a run directory to a run directory: what is chosen, what is kept, and what test may not change."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import gender_lightning
from gender_lightning.commands import refit as command
from gender_lightning.commands.evaluate import evaluate
from gender_lightning.config import EvaluateConfig, RefitConfig, parse_config
from gender_lightning.data.datamodule import FaceDataModule
from gender_lightning.data.framing import CELEBA, Framing
from gender_lightning.errors import UserError, UserErrors
from gender_lightning.evaluation.statistics.intervals import clusters_of
from gender_lightning.inference.domain import domain_of
from gender_lightning.inference.predictor import load
from gender_lightning.machine import hardware
from gender_lightning.models.backbones import create_backbone
from gender_lightning.models.checkpoints.checkpoint import ModelSpec, load_network, read_checkpoint, save_weights
from gender_lightning.models.features import observed
from gender_lightning.overrides import complete, compose
from gender_lightning.refitting import features
from gender_lightning.refitting.result import Refit
from gender_lightning.runs import Run, to_yaml

SIZES = {"train": 4, "valid": 60, "test": 60}
QUICK = ("data.workers=0", "resamples=200", "accelerator=cpu")


@pytest.fixture(autouse=True, scope="module")
def _float32() -> Iterator[None]:
    """The precision in which the oracles compute, also on a processor with bfloat16 instructions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hardware, "_cpu_computes_bfloat16", lambda: False)
        yield


def picture(seed: int, male: bool, hat: bool) -> Image.Image:
    """Bright on the left for males, at the top for a hat; smooth, since noise would not survive."""
    small = np.random.default_rng(seed).integers(40, 160, (6, 6, 3), dtype=np.uint8)
    small[:, slice(0, 3) if male else slice(3, 6)] += 30
    if hat:
        small[:2] += 60
    return Image.fromarray(small).resize((32, 32), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures, and a CSV file with an attribute beside it."""
    root = tmp_path_factory.mktemp("refit") / "faces"
    lines = ["image_id,Wearing_Hat,Never"]
    seed = 0
    for split, size in SIZES.items():
        for number in range(size):
            male, hat = number % 2 == 0, number % 3 == 0
            name = f"{split}/{'male' if male else 'female'}/{number:03d}.png"
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            picture(seed, male, hat).save(root / name)
            lines.append(f"{name},{int(hat)},0")
            seed += 1
    (root.parent / "attributes.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, faces: Path) -> Run:
    """A run with random weights: its head can only become better."""
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("runs") / "A"
    (path / "checkpoints").mkdir(parents=True)
    net = create_backbone("timm/test_resnet", image_size=32)
    spec = ModelSpec("timm/test_resnet", Framing(32, crop="none"), test_time_flip=False)
    save_weights(path / "checkpoints" / "best.ckpt", net.state_dict(), spec)
    typed = [
        "data=folder", f"data.root={faces}", "data.image_size=32", "data.crop=none", "data.workers=0",
        f"data.attributes={faces.parent / 'attributes.csv'}", "data.group_minimum=10", "model=timm",
        "model.name=timm/test_resnet", "logger=csv", f"run_dir={path}",
    ]  # fmt: skip
    (path / "config.yaml").write_text(to_yaml(compose("train", typed)))
    (path / "run.json").write_text(json.dumps({"status": "done", "created": "2026-01-01T00:00:00+00:00"}))
    return Run(path)


def config(run: Run | Path, output: Path, *typed: str) -> RefitConfig:
    texts = complete("refit", [f"checkpoint={run if isinstance(run, Path) else run.path}", f"output={output}", *typed])
    return parse_config(RefitConfig, compose("refit", [*texts, *QUICK]))


def refitted(run: Run | Path, output: Path, *typed: str) -> Refit:
    return command.refit(config(run, output, *typed))


@pytest.fixture(scope="module")
def done(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Refit:
    return refitted(run, tmp_path_factory.mktemp("refitted") / "B", "groups=[Wearing_Hat]", "max_loss=0.02")


def weights(path: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(path)[1]


def test_a_better_head_is_kept_and_the_directory_is_an_ordinary_run(run: Run, done: Refit) -> None:
    assert done.gained and done.head == "new"
    before, after = weights(run.best), weights(done.path)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"fc.weight", "fc.bias"}
    row = done.report.row("worst_group")
    assert row.difference.value == pytest.approx(row.after.value - row.before.value) and row.difference.value > 0.2
    result = Run.open(done.path)
    assert result.info()["status"] == "done" and result.info()["refit"]["method"] == "dfr"
    table = pd.read_parquet(result.predictions / "test.parquet")
    decided = table["probability"] >= 0.5
    assert result.metrics()["test/accuracy"] == pytest.approx((decided == table["label"]).mean())
    assert result.metrics()["test/accuracy"] == pytest.approx(done.report.row("accuracy").after.value)
    assert result.metrics()["test/worst_group_accuracy"] == pytest.approx(row.after.value)
    told = json.loads((done.path / "refit.json").read_text())
    assert told["head"] == "new" and told["verdict"] == list(done.verdict())
    assert {row["name"] for row in told["report"]["rows"]} >= {"accuracy", "male with Wearing_Hat"}
    page, card = (done.path / "refit.html").read_text(), (done.path / "model_card.md").read_text()
    judged = [*done.report.rows, *done.fit.rows]
    edges = {"better": [row for row in judged if row.surely and row.difference.value > 0],
             "mark": [row for row in judged if row.surely and row.difference.value < 0]}  # fmt: skip
    assert edges["better"] and all(page.count(f'<tr class="{edge}">') == len(rows) for edge, rows in edges.items())
    assert "men with a hat" in page and "https://" not in page and "<script src" not in page
    assert "## Refit" in card and "`dfr`" in card and "the new head" in card


def test_it_remembers_the_fitting_images_as_a_training_remembers_valid(run: Run, done: Refit) -> None:
    """The centre of what is remembered is the mean of what the head receives of these pictures, now and by itself."""
    domain = domain_of(done.path)
    assert domain is not None
    network = load_network(done.path)
    section = config(run, Path("unused")).data
    data = FaceDataModule(section, framing=network.spec.framing)
    data.setup(only="valid")
    with observed(network.net) as seen, torch.inference_mode():
        network(data.dataset("valid").__getitems__(list(range(len(data.index("valid"))))).images)
    features = seen.take().numpy()
    who = clusters_of(data.index("valid").identities, len(features))
    weight = 1 / np.bincount(who)[who]
    assert domain.centre == pytest.approx(weight @ features / weight.sum(), abs=1e-4)
    table = pd.read_parquet(Run.open(done.path).predictions / "valid.parquet")
    sure = np.maximum(table["probability"], 1 - table["probability"])
    assert domain.confidences[[0, 100, 200]] == pytest.approx(np.quantile(sure, [0, 0.5, 1]), abs=1e-5)
    assert (domain.temperature, domain.threshold) == (network.spec.temperature, network.spec.threshold)


@pytest.mark.slow
def test_other_commands_read_it_as_any_run(done: Refit, faces: Path, tmp_path: Path) -> None:
    texts = complete("evaluate", [f"checkpoint={done.path}", f"output={tmp_path / 'e'}", *QUICK])
    evaluate(parse_config(EvaluateConfig, compose("evaluate", [*texts, "corruptions=none", "images=false"])))
    ours, theirs = (
        pd.read_parquet(file).set_index("image_id").sort_index()
        for file in (done.path / "predictions" / "test.parquet", tmp_path / "e" / "predictions.parquet")
    )
    assert np.allclose(ours["logit"], theirs["logit"], atol=1e-3, rtol=1e-3)
    path = faces / "test" / "male" / "000.png"
    probability = load(done.path, faces="none").predict(path).probability
    assert probability == pytest.approx(ours.loc["test/male/000.png", "probability"], abs=1e-3)
    scaled = refitted(done.path, tmp_path / "D", "method=class_scaling", "groups=[Wearing_Hat]", "keep=always")
    runs = [str(done.path), str(scaled.path)]
    compared = gender_lightning.compare(runs=runs, output=str(tmp_path / "c"), speed={"measure": False})
    assert len(compared.summaries) == 2 and compared.verdict.headline
    with pytest.raises(UserError, match="is a refit"):
        Run.resume(str(done.path), extended=True)


def test_labels_of_test_change_the_report_and_nothing_else(run: Run, done: Refit, faces: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(run.path, other)
    poisoned = tmp_path / "faces"
    shutil.copytree(faces, poisoned)
    for name in ("female", "male"):
        (poisoned / "test" / name).rename(poisoned / "test" / f"{name}_")
    (poisoned / "test" / "female_").rename(poisoned / "test" / "male")
    (poisoned / "test" / "male_").rename(poisoned / "test" / "female")
    attributes = tmp_path / "attributes.csv"
    lines = (faces.parent / "attributes.csv").read_text()
    swapped = lines.replace("test/female/", "test/?/").replace("test/male/", "test/female/")
    attributes.write_text(swapped.replace("test/?/", "test/male/"))
    text = (other / "config.yaml").read_text().replace(str(faces), str(poisoned))
    (other / "config.yaml").write_text(text.replace(str(faces.parent / "attributes.csv"), str(attributes)))
    result = refitted(other, tmp_path / "B", "groups=[Wearing_Hat]", "max_loss=0.02")
    assert result.fit == done.fit and result.chosen == done.chosen and result.head == done.head
    assert result.report.row("accuracy").after.value == pytest.approx(1 - done.report.row("accuracy").after.value)
    ours, theirs = weights(result.path), weights(done.path)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert read_checkpoint(result.path)[0] == read_checkpoint(done.path)[0]


def test_where_nothing_is_gained_the_old_head_stays_to_the_bit(done: Refit, tmp_path: Path) -> None:
    again = refitted(done.path, tmp_path / "C", "method=class_scaling", "groups=[Wearing_Hat]")
    assert not again.gained and again.head == "old" and "keeps the old head" in again.verdict()[0]
    before, after = weights(done.path), weights(again.path)
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    assert read_checkpoint(done.path)[0] == read_checkpoint(again.path)[0]
    kept = pd.read_parquet(again.path / "predictions" / "test.parquet")["logit"]
    assert np.allclose(kept, pd.read_parquet(done.path / "predictions" / "test.parquet")["logit"], atol=1e-3)
    always = refitted(done.path, tmp_path / "D", "method=class_scaling", "groups=[Wearing_Hat]", "keep=always")
    assert always.head == "new" and "because of keep=always" in always.verdict()[0]
    assert not torch.equal(weights(always.path)["fc.bias"], before["fc.bias"])


def test_another_threshold_leaves_the_weights_and_moves_the_decision(done: Refit, tmp_path: Path) -> None:
    shifted = tmp_path / "shifted"
    shutil.copytree(done.path, shifted)
    spec, state = read_checkpoint(done.path)
    state["fc.bias"] += 3 * spec.temperature
    save_weights(shifted / "checkpoints" / "best.ckpt", state, spec)
    result = refitted(shifted, tmp_path / "T", "method=thresholds", "groups=[Wearing_Hat]", "keep=always")
    after = weights(result.path)
    assert all(torch.equal(state[name], after[name]) for name in state)
    assert read_checkpoint(result.path)[0].threshold > 0.6
    assert result.report.row("worst_group").difference.value > 0


def test_other_data_are_halved_and_need_no_groups(run: Run, faces: Path, tmp_path: Path) -> None:
    folder = ("data=folder", f"data.root={faces / 'valid'}", "method=afr", "faces=none", "keep=always")
    result = refitted(run, tmp_path / "B", *folder)
    assert (result.fit_part.images, result.report_part.images) == (30, 30)
    assert result.aim == "balanced_accuracy" and not result.own_data
    data = Run.open(result.path).config()["data"]
    assert data["root"] == str(faces / "valid") and data["image_size"] == 32
    assert "picture" in " ".join(result.remarks)
    # a network of CelebA with a head of pictures in which no face is found: predict uses pictures as they are
    assert read_checkpoint(run.path)[0].placement == CELEBA
    assert read_checkpoint(result.path)[0].placement is None


def test_features_are_kept_checked_and_continued(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own"
    shutil.copytree(run.path, own, ignore=shutil.ignore_patterns("features"))
    monkeypatch.setattr(features, "_BLOCK", 16)
    computed: list[int] = []
    real = features._computed

    def counted(*arguments: Any) -> Any:
        if len(computed) == 2 and not counted.resumed:  # type: ignore[attr-defined]
            raise KeyboardInterrupt
        computed.append(len(arguments[5]))
        return real(*arguments)

    counted.resumed = False  # type: ignore[attr-defined]
    monkeypatch.setattr(features, "_computed", counted)
    setting = command.prepare(config(own, tmp_path / "B"))
    with pytest.raises(KeyboardInterrupt):
        command.compute(setting)
    assert not (tmp_path / "B").exists()
    counted.resumed = True  # type: ignore[attr-defined]
    layer, found = command.compute(setting)
    assert computed == [16] * 3 + [12] + [16] * 3 + [12]  # the first two of valid only once
    images = setting.data["test"].dataset("test").decode(range(60))
    with torch.no_grad():
        assert np.allclose(found["report"].logits, load_network(own)(images), atol=1e-4)
    block = sorted((own / "features").rglob("*.npy"))[0]
    block.write_bytes(block.read_bytes()[:200])
    command.compute(setting)
    assert len(computed) == 9  # the damaged one alone
    spec, state = read_checkpoint(own)
    state["bn1.weight" if "bn1.weight" in state else next(iter(state))] += 0.5
    save_weights(own / "checkpoints" / "best.ckpt", state, spec)
    command.compute(command.prepare(config(own, tmp_path / "B")))
    assert len(computed) == 17  # other weights, other features
    assert layer.widths


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (("groups=[Wearing_Hats]",), "no attribute Wearing_Hats"),
        (("groups=[Never]",), "divides neither class"),
        (("data.seed=9",), "data.seed differs"),
        (("data=folder", "data.root=ROOT", "data.sizes={train:0.0,valid:0.2,test:0.8}"), "persons"),
        (("data=folder", "data.root=ROOT", "data.sizes={train:0.0,valid:1.0,test:0.0}"), "test split has no images"),
        (("data=folder", "data.root=ROOT", "groups=[Wearing_Hat]"), "data have no attributes"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_computed(
    run: Run, faces: Path, tmp_path: Path, typed: tuple[str, ...], said: str
) -> None:
    texts = [text.replace("ROOT", str(faces / "valid")) for text in typed]
    with pytest.raises((UserError, UserErrors), match=said):
        command.prepare(config(run, tmp_path / "B", *texts))
    assert not (tmp_path / "B").exists()


def test_fields_that_contradict_are_refused(run: Run, tmp_path: Path) -> None:
    for typed, said in (("groups=[Male]", "label itself"), ("groups=[Bangs,Bangs]", "twice")):
        with pytest.raises(UserErrors, match=said):
            config(run, tmp_path / "B", typed)
    with pytest.raises(UserErrors, match="no last layer in common"):
        parse_config(RefitConfig, compose("refit", ["checkpoint=[A,B]"]))
    (tmp_path / "there").mkdir()
    with pytest.raises(UserError, match="exists already"):
        command.prepare(config(run, tmp_path / "there"))
