"""What a finished training leaves behind, checked against what can be computed from its other files."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from sklearn.metrics import f1_score, log_loss, recall_score, roc_auc_score

from gender_lightning import load
from gender_lightning.evaluation.metrics import fit_temperature
from gender_lightning.evaluation.thresholds import choose_threshold
from gender_lightning.overrides import compose

Finished = tuple[Path, list[str]]
Train = Callable[..., Path]
FILES = {
    "config.yaml", "overrides.yaml", "run.json", "metrics.json", "metrics.csv", "log.txt", "checkpoints/best.ckpt",
    "checkpoints/last.ckpt", "checkpoints/previous.ckpt", "predictions/valid.parquet", "predictions/test.parquet",
}  # fmt: skip
METRICS = {"accuracy", "balanced_accuracy", "recall_male", "recall_female", "f1", "auroc", "loss"}


def test_exactly_the_files_that_were_promised(finished: Finished) -> None:
    run, _ = finished
    assert {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()} == FILES


def test_configuration_and_overrides_are_what_was_typed(finished: Finished) -> None:
    run, typed = finished
    assert yaml.safe_load((run / "overrides.yaml").read_text()) == typed
    assert yaml.safe_load((run / "config.yaml").read_text()) == compose("train", typed)


def test_run_json_says_how_it_went(finished: Finished) -> None:
    run, _ = finished
    info = json.loads((run / "run.json").read_text())
    assert info["status"] == "done" and info["error"] is None
    assert info["seconds"] > 0 and info["images_per_second"] > 0 and info["validation_images_per_second"] > 0
    assert (
        info["created"] <= info["first_batch"] <= info["first_step"] <= info["finished"].replace("+00:00", ".999+00:00")
    )
    assert info["packages"]["torch"] == torch.__version__.split("+")[0]
    assert info["trainer"]["accelerator"] == "cpu" and info["trainer"]["precision"] == "32-true"
    assert info["command"].startswith("gender-lightning train data=celeba")


def test_the_log_keeps_the_curve_and_the_result(finished: Finished) -> None:
    run, _ = finished
    text = (run / "log.txt").read_text()
    assert "epoch 1/" in text and "val/accuracy" in text
    accuracy = json.loads((run / "metrics.json").read_text())["test/accuracy"]
    assert f"test/accuracy {accuracy:.4f}" in text


def test_metrics_are_those_of_the_tables(finished: Finished) -> None:
    run, _ = finished
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics.keys() == {f"{prefix}/{name}" for prefix in ("val", "test") for name in METRICS}
    for split, prefix in (("valid", "val"), ("test", "test")):
        table = pd.read_parquet(run / "predictions" / f"{split}.parquet")
        said = table["probability"] >= 0.5
        recalls = recall_score(table["label"], said, average=None)
        expected = {
            "accuracy": (said == table["label"]).mean(),
            "recall_female": recalls[0], "recall_male": recalls[1], "balanced_accuracy": recalls.mean(),
            "f1": f1_score(table["label"], said), "auroc": roc_auc_score(table["label"], table["logit"]),
            "loss": log_loss(table["label"], table["probability"].astype(float)),
        }  # fmt: skip
        assert {name: metrics[f"{prefix}/{name}"] for name in METRICS} == pytest.approx(expected, abs=1e-5)


def test_tables_have_each_image_of_their_split_once(finished: Finished, faces: Path) -> None:
    run, _ = finished
    partition = dict(line.split() for line in (faces / "list_eval_partition.txt").read_text().splitlines())
    people = dict(line.split() for line in (faces / "identity_CelebA.txt").read_text().splitlines())
    for number, split in enumerate(("train", "valid", "test")):
        if split == "train":
            continue
        table = pd.read_parquet(run / "predictions" / f"{split}.parquet")
        assert table["image_id"].tolist() == [name for name, part in partition.items() if part == str(number)]
        assert table["identity"].tolist() == [int(people[name]) for name in table["image_id"]]
        kinds = {name: str(table[name].dtype) for name in ("label", "logit", "probability", "identity", "Eyeglasses")}
        assert list(kinds.values()) == ["int8", "float32", "float32", "Int32", "bool"] and "Male" not in table


def test_the_curve_has_one_row_per_epoch(finished: Finished) -> None:
    run, _ = finished
    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["epoch"], row["step"]) for row in rows] == [("1", "4"), ("2", "8")]
    assert {f"val/{name}" for name in METRICS} | {"train/loss", "lr", "seconds", "images_per_second"} < rows[0].keys()
    rates = [float(row["images_per_second"]) for row in rows]
    overall = json.loads((run / "run.json").read_text())["images_per_second"]
    assert overall == pytest.approx(2 / sum(1 / rate for rate in rates), abs=0.1)


def test_checkpoints_load_without_running_anything(finished: Finished) -> None:
    run, _ = finished
    best = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert best.keys() == {"gender_lightning", "state_dict"}
    assert last["optimizer_states"] and last["global_step"] == 8


def test_the_best_checkpoint_gives_the_probabilities_of_the_table(finished: Finished, faces: Path) -> None:
    run, _ = finished
    table = pd.read_parquet(run / "predictions" / "test.parquet")
    predictor = load(run, device="cpu")
    said = predictor.predict([faces / "img_align_celeba" / name for name in table["image_id"]])
    assert np.allclose([one.probability for one in said], table["probability"], atol=2e-6)
    threshold = predictor.spec.threshold
    assert [one.label for one in said] == ["male" if p >= threshold else "female" for p in table["probability"]]


def test_temperature_and_threshold_come_from_valid(finished: Finished) -> None:
    run, _ = finished
    table = pd.read_parquet(run / "predictions" / "valid.parquet")
    spec = load(run, device="cpu").spec
    assert spec.temperature == pytest.approx(fit_temperature(table["logit"], table["label"]), rel=1e-4)
    chosen = choose_threshold(table, spec.temperature)
    assert (spec.threshold, spec.threshold_rule) == (pytest.approx(chosen.value, abs=1e-4), chosen.rule)
    assert np.allclose(table["probability"], 1 / (1 + np.exp(-table["logit"] / spec.temperature)), atol=1e-6)


def test_the_same_seed_gives_the_same_numbers(train: Train) -> None:
    noisy = ("seed=0", "model.dropout=0.2", "augmentation.mixup=0.2", "trainer.max_epochs=2")
    first, again, other = (
        train("first", *noisy),
        train("again", *noisy, "data.workers=1"),
        train("other", *noisy, "seed=3"),
    )
    assert yaml.safe_load((first / "config.yaml").read_text())["seed"] == 0
    for name in ("best", "last"):
        assert same_weights(first, again, name) and not same_weights(first, other, name)
    for file in ("metrics.json", "predictions/valid.parquet", "predictions/test.parquet"):
        assert (first / file).read_bytes() == (again / file).read_bytes()
    assert math.isfinite(json.loads((first / "metrics.json").read_text())["test/loss"])


def same_weights(run: Path, other: Path, name: str) -> bool:
    files = [path / "checkpoints" / f"{name}.ckpt" for path in (run, other)]
    states = [torch.load(file, weights_only=True)["state_dict"] for file in files]
    return all(torch.equal(value, states[1][key]) for key, value in states[0].items())
