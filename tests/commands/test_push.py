"""`push`: what a repository holds, who may publish what, and what remains if something goes wrong."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hub_server import TOKEN, Hub
from huggingface_hub import ModelCard

from gender_lightning import load, push
from gender_lightning.commands.push import learned_from
from gender_lightning.data.framing import Framing
from gender_lightning.errors import UserError
from gender_lightning.evaluation.evaluating import Subject, evaluate_table
from gender_lightning.exporting.publishing import upload
from gender_lightning.models.backbones import create_backbone
from gender_lightning.models.checkpoints import weights
from gender_lightning.models.checkpoints.checkpoint import (
    ModelSpec,
    load_network,
    read_checkpoint,
    save_weights,
    update_spec,
)
from gender_lightning.overrides import compose

SPEC = ModelSpec("timm/test_resnet", Framing(32), temperature=0.7, threshold=0.45, threshold_rule="balanced")


def make_run(path: Path, data: str, pretrained: object = False, **loss: object) -> Path:
    """The directory of a run, as far as `push` reads it, before its evaluation."""
    torch.manual_seed(4)
    (path / "checkpoints").mkdir(parents=True)
    state = create_backbone("timm/test_resnet", image_size=32).state_dict()
    save_weights(path / "checkpoints" / "best.ckpt", state, SPEC)
    (path / "run.json").write_text(json.dumps({"status": "done", "seconds": 60.0}))
    section = compose("evaluate", ["checkpoint=x", f"data={data.split('=')[0]}"])["data"] | {
        "root": data.partition("=")[2]
    }
    config = {"data": section, "model": {"pretrained": pretrained}, "loss": loss}
    (path / "config.yaml").write_text(json.dumps(config))
    return path


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on CelebA that was evaluated, on made-up predictions."""
    run = make_run(tmp_path_factory.mktemp("push") / "run", "celeba=faces")
    labels = (np.arange(120) // 3 % 2).astype(np.int8)
    logits = np.random.default_rng(1).normal(2 * labels - 1, 1.5).astype(np.float32)
    table = pd.DataFrame({
        "image_id": [f"{i:06d}.jpg" for i in range(120)], "split": "test", "label": labels, "logit": logits,
        "probability": 1 / (1 + np.exp(-logits / 0.7)), "identity": pd.array(np.arange(120) // 3, dtype="Int32"),
    })  # fmt: skip
    subject = Subject(str(run), "run", "celeba", "test", True, {"backbone": SPEC.backbone}, 0.7, 0.45)
    folder = run / "evaluation" / "celeba-test"
    folder.mkdir(parents=True)
    evaluation = evaluate_table(subject, table, None, resamples=100)
    (folder / "evaluation.json").write_text(json.dumps(evaluation.to_dict()))
    return run


@pytest.fixture
def logged_in(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Hub:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    return hub


def allowed(run: Path, **fields: Any) -> Any:
    return push(checkpoint=run, i_may_publish=True, **{"to": "hf://me/faces", **fields})


def test_what_was_pushed_predicts_the_same_to_the_last_bit(
    evaluated: Path, logged_in: Hub, tiny_faces: torch.Tensor, capsys: pytest.CaptureFixture[str]
) -> None:
    pushed = allowed(evaluated, card={"license": "cc-by-nc-4.0", "contact": "me@example.org"})
    repository = logged_in.repositories["me/faces"]
    assert repository.private and len(repository.commits) == 2, "the hub's own commit, and one of ours"
    assert pushed.upload.revision == repository.commits[-1][0] and pushed.upload.url.endswith("/me/faces")
    assert set(logged_in.files("me/faces")) == {".gitattributes", "README.md", "config.json", "model.safetensors"}
    name = Path(f"hf://me/faces@{pushed.upload.revision}")
    assert read_checkpoint(name)[0] == SPEC
    assert torch.equal(load_network(name)(tiny_faces), load_network(evaluated)(tiny_faces))
    said = capsys.readouterr()
    told = [said.out, said.err, *(file.read_text("latin-1") for file in evaluated.rglob("*") if file.is_file())]
    told += [content.decode("latin-1") for content in logged_in.files("me/faces").values()]
    assert "pushed to" in said.out and not any(TOKEN in text for text in told)


def test_the_card_is_what_the_hub_reads_and_holds_the_measured_values(evaluated: Path, tmp_path: Path) -> None:
    push(checkpoint=evaluated, output=tmp_path / "folder", to="hf://me/faces")
    card = ModelCard.load(tmp_path / "folder" / "README.md", ignore_metadata_errors=False)
    measured = json.loads((evaluated / "evaluation/celeba-test/evaluation.json").read_text())["metrics"]
    values = {result.metric_type: result.metric_value for result in card.data.eval_results}
    for ours, theirs in {"accuracy": "accuracy", "f1": "f1", "auroc": "roc_auc", "recall_male": "recall_male"}.items():
        assert values[theirs] == pytest.approx(measured[ours]["value"], abs=1e-4)
    assert 'load("hf://me/faces")' in card.content
    config = json.loads((tmp_path / "folder" / "config.json").read_text())
    assert config["learned_from"] == ["celeba"] and ModelSpec.from_dict(config["gender_lightning"]) == SPEC
    assert read_checkpoint(tmp_path / "folder")[0] == SPEC, "the folder is a checkpoint"
    with pytest.raises(UserError, match="it exists already"):
        push(checkpoint=evaluated, output=tmp_path / "folder")


def test_weights_of_celeba_are_not_published_by_accident(evaluated: Path, logged_in: Hub, tmp_path: Path) -> None:
    words = r"not pushed: CelebA may be used for non-commercial research only.*add i_may_publish=true"
    with pytest.raises(UserError, match=words):
        push(checkpoint=evaluated, to="hf://me/faces")
    tuned = make_run(tmp_path / "tuned", "folder=photos", pretrained=str(evaluated))
    again = make_run(tmp_path / "again", "folder=photos", pretrained=str(tuned / "checkpoints" / "best.ckpt"))
    assert list(learned_from(again)) == ["folder", "folder", "celeba"]
    with pytest.raises(UserError, match=words):
        push(checkpoint=again, to="hf://me/faces")
    student = make_run(tmp_path / "student", "folder=photos", teacher=[str(evaluated)])
    assert list(learned_from(student)) == ["folder", "celeba"]
    foreign = make_run(tmp_path / "foreign", "folder=photos", pretrained=str(tmp_path / "downloaded.pt"))
    with pytest.raises(UserError, match="it is not known on which data they, or the weights that they started from"):
        push(checkpoint=foreign, to="hf://me/faces")
    itself = make_run(tmp_path / "itself", "folder=photos", pretrained=str(tmp_path / "itself"))
    assert list(learned_from(itself))[-1] == "unknown"
    assert list(learned_from(make_run(tmp_path / "own", "synthetic=drawn", pretrained=True))) == ["synthetic"]
    assert not logged_in.requests and not logged_in.repositories


def test_the_origin_travels_with_the_weights(evaluated: Path, logged_in: Hub, tmp_path: Path) -> None:
    revision = allowed(evaluated).upload.revision
    name = f"hf://me/faces@{revision}/model.safetensors"
    tuned = make_run(tmp_path / "tuned", "folder=photos", pretrained=name)
    assert list(learned_from(tuned)) == ["folder", "celeba"]


def test_a_card_has_measured_values_of_these_weights_or_there_is_none(evaluated: Path, tmp_path: Path) -> None:
    new = make_run(tmp_path / "new", "folder=photos")
    with pytest.raises(UserError, match=r"has no evaluation/folder-test, .* Run gender-lightning evaluate checkpoint="):
        push(checkpoint=new, output=tmp_path / "folder")
    changed = shutil.copytree(evaluated, tmp_path / "changed")
    update_spec(changed, temperature=0.8)
    with pytest.raises(UserError, match="was measured with other weights than these"):
        push(checkpoint=changed, output=tmp_path / "folder")
    with pytest.raises(UserError, match="lies in no run directory"):
        push(
            checkpoint=shutil.copy(evaluated / "checkpoints/best.ckpt", tmp_path / "a.ckpt"), output=tmp_path / "folder"
        )
    assert not (tmp_path / "folder").exists()


def test_every_way_of_failing_is_a_sentence_and_uploads_nothing(
    evaluated: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refused(words: str, **fields: Any) -> None:
        with pytest.raises(UserError, match=words) as caught:
            allowed(evaluated, **fields)
        assert TOKEN not in str(caught.value)

    refused("Nobody is logged in to the Hugging Face hub")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    refused("does not accept your token")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    refused("Your token does not permit this in hf://somebody/faces", to="hf://somebody/faces")
    refused("is not the name", to="hf://me")
    refused("a push goes to a whole repository", to="hf://me/faces@main")
    refused("to=wandb://a/b/c is not on the Hugging Face hub", to="wandb://a/b/c")
    hub.add("me/open", {})
    refused(r"hf://me/open is public already.*private=false", to="hf://me/open")
    folder = push(checkpoint=evaluated, output=tmp_path / "folder").folder
    for part, status, words in (
        ("/upload/", 403, "does not permit"),
        ("/commit/", 500, "failed .status 500: on purpose.. Nothing was uploaded"),
        ("/commit/", 0, "failed"),
        ("/validate-yaml", 500, "status 500"),
        ("/create", 0, "failed"),
    ):
        hub.failing = {part: status}
        with pytest.raises(UserError, match=words):
            upload(folder, f"me/{part.strip('/')}-{status}", private=True)
    monkeypatch.setattr(weights, "_hub_answers", lambda: False)
    with pytest.raises(UserError, match="cannot be reached, or HF_HUB_OFFLINE is set|failed .ConnectionError"):
        upload(folder, "me/faces", private=True)
    assert not any({"README.md", "model.safetensors"} & set(hub.files(name)) for name in hub.repositories)


def test_a_public_repository_has_to_be_asked_for(evaluated: Path, logged_in: Hub) -> None:
    allowed(evaluated, private=False)
    assert not logged_in.repositories["me/faces"].private
    again = allowed(evaluated, private=False)
    assert again.upload.revision == logged_in.repositories["me/faces"].commits[-1][0]


@pytest.mark.slow
def test_the_command_line_follows_the_hubs_own_variables(
    evaluated: Path, logged_in: Hub, tmp_path: Path, tiny_celeba: Path
) -> None:
    """In processes of their own, since the hub's client reads them when it is imported; one for each."""
    environment = {**os.environ, "HF_ENDPOINT": logged_in.url, "HF_HOME": str(tmp_path / "home")}
    environment["HF_HUB_DISABLE_XET"] = "1"
    allowed(evaluated)
    picture = next((tiny_celeba / "img_align_celeba").glob("*"))
    expected = load(evaluated, device="cpu", faces="none").predict(picture).probability
    fixed = ["faces=none", "workers=0", "min_confidence=0", "accelerator=cpu", "precision=32-true"]
    for output, checkpoint, offline in (("a.csv", "hf://me/faces@main", "0"), ("b.csv", "hf://me/faces", "1")):
        line = [sys.executable, "-m", "gender_lightning", "predict", f"checkpoint={checkpoint}", f"output={output}"]
        variables = environment | {"HF_HUB_OFFLINE": offline}
        line += [f"input={picture}", *fixed]
        found = subprocess.run(line, env=variables, capture_output=True, text=True, cwd=tmp_path)
        assert found.returncode == 0, found.stderr
        assert pd.read_csv(tmp_path / output)["probability"].tolist() == [pytest.approx(expected, abs=1e-6)]
        assert TOKEN not in found.stdout + found.stderr
