"""A training that looks at groups and auxiliary attributes: what it measures, keeps, records and refuses."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from gender_lightning.data.sources.annotations import read_celeba
from gender_lightning.models.checkpoints.checkpoint import load_network, read_checkpoint

Train = Callable[..., Path]
# of 33 drawn faces; groups are small, and so is what counts as one
GROUPED = (
    "data.groups=[Eyeglasses]", "data.group_minimum=3", "data.sampler=group_balanced", "loss=group_dro",
    "loss.step_size=0.5", "loss.auxiliary.attributes=all",
)  # fmt: skip


def test_everything_at_once(train: Train, command: Callable[..., None], faces: Path, tmp_path: Path) -> None:
    run = train(
        "run", *GROUPED, "callbacks.checkpoint.monitor=val/worst_group_accuracy", "trainer.max_epochs=2",
        "augmentation.mixup=0.2", "data.resident=true", f"data.cache={tmp_path / 'cache'}", "callbacks.ema.decay=0.9",
    )  # fmt: skip
    metrics, info = (json.loads((run / name).read_text()) for name in ("metrics.json", "run.json"))
    for split, prefix in (("valid", "val"), ("test", "test")):
        table = pd.read_parquet(run / "predictions" / f"{split}.parquet")
        right = (table["logit"] >= 0) == (table["label"] == 1)
        of = {
            name: [group for group in info["groups"] if group["name"].startswith(name)] for name in ("male", "female")
        }
        found = {}
        for label, name in enumerate(("female", "male")):
            for glasses in (False, True):
                rows = (table["label"] == label) & (table["Eyeglasses"] == glasses)
                key = f"{name}_{'with' if glasses else 'without'}_Eyeglasses" if len(of[name]) > 1 else name
                rows = rows if len(of[name]) > 1 else table["label"] == label
                if rows.any():
                    found[key] = float(right[rows].mean())
                    assert metrics[f"{prefix}/accuracy_{key}"] == pytest.approx(found[key])
                    assert metrics[f"{prefix}/images_{key}"] == rows.sum()
        assert metrics[f"{prefix}/worst_group_accuracy"] == pytest.approx(min(found.values()))
        assert metrics[f"{prefix}/group_gap"] == pytest.approx(max(found.values()) - min(found.values()))
        assert sum(group[split] for group in info["groups"]) == len(table)
    with (run / "metrics.csv").open() as file:
        assert all("val/worst_group_accuracy" in row for row in csv.DictReader(file))
    assert "val/worst_group_accuracy" in (run / "log.txt").read_text()

    names = read_celeba(faces).attribute_names
    assert info["auxiliary_attributes"] == list(names)
    last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert last["attribute_heads.linear.weight"].shape[0] == len(names)
    _, state = read_checkpoint(run / "checkpoints" / "best.ckpt")
    assert not any("attribute" in name or "criterion" in name for name in state)
    network = load_network(run)
    assert network(torch.zeros(2, 3, 32, 32, dtype=torch.uint8)).shape == (2,)

    command("evaluate", f"checkpoint={run}", "corruptions=none", "images=false", "resamples=100", "wandb=false")
    card = (run / "evaluation" / "celeba-test" / "model_card.md").read_text()
    assert "has no output for them" in card and names[-1] in card


def sorted_by_class(faces: Path, root: Path) -> list[Path]:
    """Link CelebA's images into folders of splits and classes; their paths below `root`."""
    index, paths = read_celeba(faces), []
    for row, image_id in enumerate(index.image_ids.tolist()):
        part = Path(("train", "valid", "test")[index.partition[row]]) / ("female", "male")[index.labels[row]]
        (root / part).mkdir(parents=True, exist_ok=True)
        (root / part / image_id.decode()).symlink_to(next(faces.rglob(image_id.decode())))
        paths.append(part / image_id.decode())
    return paths


def test_a_csv_file_of_a_folder_feeds_groups_and_tables(
    train: Train, tmp_path: Path, faces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "photos"
    lines = [f"{path.as_posix()},{row % 2}" for row, path in enumerate(sorted_by_class(faces, root))]
    (tmp_path / "mine.csv").write_text("\n".join(["image_id,phone", *lines]))
    monkeypatch.chdir(tmp_path)
    run = train(
        "run", "data=folder", f"data.root={root}", "data.attributes=mine.csv", "data.groups=[phone]",
        "data.group_minimum=1", "loss.group_weights=balanced",
    )  # fmt: skip
    table = pd.read_parquet(run / "predictions" / "valid.parquet")
    assert set(np.unique(table["phone"])) == {False, True}
    names = {group["name"] for group in json.loads((run / "run.json").read_text())["groups"]}
    assert names == {f"{label} {word} phone" for label in ("female", "male") for word in ("with", "without")}


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["data.groups=[Eyeglases]"], "data.groups: the data have no attribute Eyeglases. Did you mean Eyeglasses"),
        (["data.groups=[Male]"], "Male is the label itself"),
        (["loss.auxiliary.attributes=[Male]"], "Male is the label itself"),
        (["loss.auxiliary.attributes=[Beard]"], "loss.auxiliary.attributes: the data have no attribute Beard"),
        (["data.sampler=group_balanced"], "sampler=group_balanced needs groups"),
        (["loss.group_weights=balanced"], "loss.group_weights needs groups"),
        (["callbacks.checkpoint.monitor=val/worst_group_accuracy"], "needs groups. Name attributes"),
        (
            ["data.groups=[Eyeglasses]", "callbacks.checkpoint.monitor=val/accuracy_men"],
            "callbacks.checkpoint.monitor=val/accuracy_men is not a metric",
        ),
        (["data.sampler=class_balanced", "loss.class_weights=balanced"], "correct for the same imbalance"),
        (["data.attributes=nowhere.csv"], "nowhere.csv cannot be read"),
        (["data.groups=[Eyeglasses]", "loss.group_weights={men: 2}"], "loss.group_weights: there is no group men"),
        (["data.limit=1", "data.sampler=class_balanced"], "both classes are needed"),
    ],
)
def test_a_mistake_is_a_sentence_before_a_run_directory_exists(
    train: Train, overrides: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        train("run", *overrides)
    assert stop.value.code == 2 and said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "run").exists()


def test_the_best_recipe_learns_from_a_folder_once_its_sentences_are_followed(
    train: Train, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "photos"
    sorted_by_class(faces, root)
    told: list[str] = []
    for _ in range(3):  # what needs persons, groups and attributes
        with pytest.raises(SystemExit):
            train("run", "experiment=celeba_mini", "data=folder", f"data.root={root}", *told)
        said = " ".join(capsys.readouterr().err.split())
        written = re.search(r"do without( them)?: (.+)\.$", said)
        assert written, said
        told += written[2].split()
    run = train("run", "experiment=celeba_mini", "data=folder", f"data.root={root}", *told)
    assert (run / "checkpoints" / "best.ckpt").is_file()
