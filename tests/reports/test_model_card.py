"""The model card: the Hugging Face hub reads its header, and it names no folder of the machine it was written on."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from hub_server import Hub
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import eval_results_to_model_index, model_index_to_eval_results

from gender_lightning.evaluation.evaluating import Subject, evaluate_table
from gender_lightning.evaluation.results import Evaluation, TrainingData
from gender_lightning.reports.card_header import without_header
from gender_lightning.reports.model_card import CardNotes, model_card
from gender_lightning.reports.page import without_folders

RUN: dict[str, Any] = {
    "status": "done", "seconds": 3600.0, "finished": "2026-02-03T04:05:06+00:00",
    "packages": {"gender-lightning": "0.1.0", "torch": "2.11"}, "hardware": {"cores": 2, "cpu": "a CPU", "gpus": []},
    "command": "gender-lightning train data.root=/home/ada/faces/celeba run_dir='/srv/runs/a b' model=vgg19",
}  # fmt: skip
CONFIG: dict[str, Any] = {
    "data": {"name": "celeba", "root": "/home/ada/faces/celeba", "sampler": "group_balanced", "batch_size": 64},
    "optimizer": {"_target_": "torch.optim.AdamW", "lr": 0.001}, "model": {"pretrained": True}, "seed": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    random = np.random.default_rng(1)
    labels = (np.arange(900) // 6 % 5 < 2).astype(np.int8)
    logits = random.normal(np.where(labels == 1, 2.5, -2.5), 1.5).astype(np.float32)
    table = pd.DataFrame({
        "image_id": [f"{i:06d}.jpg" for i in range(900)], "split": "test", "label": labels, "logit": logits,
        "probability": 1 / (1 + np.exp(-logits)), "identity": pd.array(np.arange(900) // 6, dtype="Int32"),
        "Young": random.random(900) < 0.6, "Heavy_Makeup": (labels == 0) & (random.random(900) < 0.5),
        "Pale_Skin": random.random(900) < 0.1,
    })  # fmt: skip
    model = {"backbone": "vgg19", "image_size": 64, "parameters": 1_000_000, "threshold_rule": "half"}
    training = TrainingData(10_000, 4_217, 5_429, "0123456789abcdef" * 4)
    subject = Subject("/home/ada/runs/a", "a", "celeba", "test", True, model, 1.2, 0.5, training)
    return evaluate_table(subject, table, table, resamples=100)


def test_the_hubs_own_reader_finds_every_result(evaluation: Evaluation) -> None:
    card = ModelCard(model_card(evaluation, RUN, CONFIG, CardNotes(license="cc-by-nc-4.0")))
    assert card.data.license == "cc-by-nc-4.0" and card.data.pipeline_tag == "image-classification"
    results = {result.metric_type: result for result in card.data.eval_results or []}
    for name, type_ in (("accuracy", "accuracy"), ("recall_male", "recall_male"), ("auroc", "roc_auc")):
        measure = evaluation.metrics[name]
        assert results[type_].metric_value == pytest.approx(measure.value, abs=5e-5)
        assert f"{measure.low:.4f} to {measure.high:.4f}" in str(results[type_].metric_name)
    assert results["accuracy"].dataset_split == "test" and results["accuracy"].dataset_type == "celeba"
    assert ModelCard(model_card(evaluation, {}, {})).data.license == "other"  # the hub refuses a card without one


@pytest.mark.parametrize("license", ["cc-by-nc-4.0", None])
def test_the_hubs_client_validates_the_card(evaluation: Evaluation, hub: Hub, license: str | None) -> None:
    """`ModelCard.validate` asks a server; this one knows the documented rules, the hub's own are not public."""
    card = ModelCard(model_card(evaluation, RUN, CONFIG, CardNotes(license=license)))
    card.validate()
    assert "POST /api/validate-yaml" in hub.requests
    name, results = model_index_to_eval_results(yaml.safe_load(str(card).split("---\n")[1])["model-index"])
    assert name == "a" and model_index_to_eval_results(eval_results_to_model_index(name, results)) == (name, results)
    for wrong in ('"no metadata"', "license: null", "license: other", "license: other\nlicense_name: Not Said"):
        with pytest.raises(ValueError, match="metadata|license|name"):
            ModelCard(f"---\n{wrong}\n---\n", ignore_metadata_errors=True).validate()


def test_an_auditor_finds_what_was_asked_for(evaluation: Evaluation) -> None:
    notes = CardNotes(contact="ada@example.org", citation="Lovelace 2026")
    card = model_card(evaluation, RUN, CONFIG, notes)
    for text in (
        "trained 2026-02-03", "gender-lightning 0.1.0", "10,000 (5,783 female, 4,217 male) of 5,429 persons",
        "`0123456789abcdef`", "learning rate 0.001", "optimizer AdamW", "60.0 minutes", "energy: not measured",
        "from gender_lightning import load", "sampler: group_balanced", "weights of others", "Annex III, point 1(b)",
        "not legal advice", "MEASURE", "Article 50(3)", "ada@example.org", "Lovelace 2026", "Pale_Skin",
        "women not labelled young and with heavy make-up", "could be shown", "every person once",
    ):  # fmt: skip
        assert text in card, text
    assert "energy: 12.0 Wh" in model_card(evaluation, RUN | {"energy_wh": 12.0}, CONFIG)
    both = RUN | {"energy_wh": 12.0, "energy_parts": {"cpu": 2.0, "gpu": 10.0}}
    assert "own counters of processors and memory and GPUs" in model_card(evaluation, both, CONFIG)
    student = model_card(
        evaluation, RUN, CONFIG | {"loss": {"name": "distill", "teacher": ["/home/ada/a", "/home/ada/b"]}}
    )
    assert "teachers 2." in student and "what other models answer" in student and "/home/ada/a" not in student
    assert "no skin tone" not in card and "trained from scratch" in model_card(evaluation, {}, {"seed": 1})


def test_no_folder_of_the_machine_is_named(evaluation: Evaluation) -> None:
    card = model_card(evaluation, RUN, CONFIG)
    assert not re.search(r"(?<![\w.])/(home|srv|tmp|work)", card) and "ada" not in card.split("## Contact")[0]
    assert "data.root=.../celeba" in card
    assert (
        without_folders("x=~/a/b y=C:\\me\\b z=a/b.jpg https://a.org/b/c")
        == "x=.../b y=.../b z=a/b.jpg https://a.org/b/c"
    )


def test_people_are_not_shown_the_header(evaluation: Evaluation) -> None:
    card = model_card(evaluation, RUN, CONFIG)
    assert card.startswith("---\n") and without_header(card).startswith("# Model card: vgg19")
    assert without_header("# A card\n\n---\nx\n---\n") == "# A card\n\n---\nx\n---\n"
