"""The YAML header of a model card, as the Hugging Face hub reads it: tags, licence, and `model-index` with results."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from gender_lightning.data.kinds import words_of
from gender_lightning.evaluation.metric_list import label_of
from gender_lightning.evaluation.results import Evaluation
from gender_lightning.runs import to_yaml

# The hub's names of metrics, where it has them
_HUB_METRICS = {"f1": "f1", "auroc": "roc_auc", "accuracy": "accuracy", "mcc": "matthews_correlation"}
_IN_THE_INDEX = ("accuracy", "balanced_accuracy", "recall_male", "recall_female", "f1", "mcc", "auroc")
_HEADER = re.compile(r"\A---\n.*?\n---\n+", re.DOTALL)


def card_header(evaluation: Evaluation, license: str | None) -> str:
    """The header between its lines of dashes.

    Args:
        evaluation: Results that `model-index` lists, each with its interval in its name.
        license: Identifier of a licence on the hub; None: undecided, which the hub wants said as `other`.
    """
    backbone = str(evaluation.model.get("backbone", "unknown"))
    content: dict[str, Any] = {
        "library_name": "gender-lightning",
        "pipeline_tag": "image-classification",
        "license": license or "other",
        **({} if license else {"license_name": "undecided"}),
        "tags": ["image-classification", "face", "perceived-gender", "pytorch", backbone],
        "metrics": sorted({_HUB_METRICS[name] for name in _IN_THE_INDEX if name in _HUB_METRICS}),
        "model-index": [{"name": evaluation.run or backbone, "results": [_result(evaluation)]}],
    }
    return f"---\n{to_yaml(content).strip()}\n---\n"


def without_header(card: str) -> str:
    """The Markdown of a card without its header, to be shown to people."""
    return _HEADER.sub("", card)


def _result(evaluation: Evaluation) -> Mapping[str, Any]:
    data = words_of(evaluation.data)
    metrics = []
    for name in _IN_THE_INDEX:
        measure = evaluation.metrics.get(name)
        if measure is None or math.isnan(measure.value):
            continue  # the hub takes numbers only
        ends = measure.ends()
        over = "images" if evaluation.persons is None else "persons"
        told = f"{label_of(name)} ({evaluation.level:.0%} interval over {over}: {ends})" if ends else label_of(name)
        metrics.append({"type": _HUB_METRICS.get(name, name), "value": round(measure.value, 4), "name": told})
    return {
        "task": {"type": "image-classification", "name": "Perceived gender of a face, two classes"},
        "dataset": {"type": evaluation.data, "name": data.shown, "split": evaluation.split},
        "metrics": metrics,
    }
