"""The run directory that `refit` writes, and what it prints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from gender_lightning.commands.steps.remembering import remembered
from gender_lightning.config import RefitConfig
from gender_lightning.console import console, shown
from gender_lightning.data.rows.groups import Groups
from gender_lightning.data.sources.annotations import Index
from gender_lightning.evaluation.evaluating import Subject, evaluate_table
from gender_lightning.evaluation.metrics import classification_metrics
from gender_lightning.evaluation.predictions import predictions_table, write_predictions
from gender_lightning.evaluation.statistics.intervals import clusters_of
from gender_lightning.evaluation.subgroups.fairness import MOST_ATTRIBUTES
from gender_lightning.evaluation.subgroups.group_metrics import group_metrics, group_sizes
from gender_lightning.inference.faces.crops import FaceSearch
from gender_lightning.models.checkpoints.checkpoint import (
    ModelSpec,
    Network,
    package_version,
    save_weights,
    update_spec,
)
from gender_lightning.models.last_layer import LastLayer, changed_state, of_main_head
from gender_lightning.refitting.outcome import Logits, Outcome
from gender_lightning.refitting.result import Refit
from gender_lightning.reports.model_card import model_card
from gender_lightning.reports.refit_page import refit_page, shown_p, title_of
from gender_lightning.runs import Run, write_text

PAGE, RECORD, CARD = "refit.html", "refit.json", "model_card.md"


def write_refit(
    config: RefitConfig,
    source: Run | None,
    search: FaceSearch,
    network: Network,
    spec: ModelSpec,
    layer: LastLayer,
    parts: tuple[Index, Index],
    groups: Groups,
    outcome: Outcome,
    result: Refit,
    features: NDArray[np.float32],
) -> Refit:
    """Write the run directory with everything in it.

    Args:
        config: The command's.
        source: The run that was refitted, if the checkpoint lies in one.
        search: How faces were looked for.
        network: Its network.
        spec: The specification of its network, with the place of the faces that its head has learned from.
        layer: Its last layer.
        parts: Fitting images and images of the report.
        groups: The groups.
        outcome: The new head.
        result: What was found.
        features: Features of the fitting images, float32 (N, C).

    Returns:
        The result with the path of the run.

    Raises:
        UserError: The directory exists already, or cannot be written.
    """
    before = {} if source is None else source.config()
    run = Run.create(config.output, _config_of(config, before, network, search), _overrides(config))
    result = replace(result, path=run.path)
    new = result.head == "new"
    seconds = sum(result.seconds.values())
    run.update(refit=_record(result, config, before), seconds=round(seconds, 1))
    with run.recording(), run.log_file():
        state = network.net.state_dict()
        if new:
            spec = replace(
                spec, temperature=outcome.temperature, threshold=outcome.threshold,
                threshold_rule=outcome.threshold_rule, package_version=package_version(),
            )  # fmt: skip
            state = state if outcome.change is None else changed_state(network.net, layer, outcome.change)
        save_weights(run.best, state, spec)
        logits = outcome.new if new else outcome.old
        update_spec(run.best, _remembered(network, spec, layer, parts[0], logits[0], features))
        tables, metrics = {}, dict[str, float]()
        for split, index, scores in zip(("valid", "test"), parts, logits, strict=True):
            tables[split] = predictions_table(index, split, scores, spec.temperature)
            write_predictions(tables[split], run.predictions / f"{split}.parquet")
            metrics |= _metrics(split, index, scores, spec.temperature, groups if config.groups else None)
        run.write_metrics(metrics)
        evaluation = evaluate_table(
            _subject(config, run, network, spec.temperature, spec.threshold, spec.threshold_rule),
            tables["test"], tables["valid"], groups=list(groups.attributes[:MOST_ATTRIBUTES]) or None,
            resamples=config.resamples, seed=config.seed,
        )  # fmt: skip
        write_text(run.path / CARD, model_card(evaluation, run.info() | {"status": "done"}, run.config()))
        write_text(run.path / RECORD, json.dumps(result.to_dict(), indent=2) + "\n")
        write_text(run.path / PAGE, refit_page(result, run.info()))
    return result


def _remembered(
    network: Network, spec: ModelSpec, layer: LastLayer, index: Index, logits: Logits, features: NDArray[np.float32]
) -> Mapping[str, Any] | None:
    """What a checkpoint of a training remembers of valid, of the fitting images: they are the valid of this run."""
    seen = of_main_head(network.net, layer, features)
    if seen is None:
        return None
    return remembered(
        index.labels.astype(np.int64), logits.astype(np.float64), clusters_of(index.identities, len(index)),
        lambda rows: seen[rows], temperature=spec.temperature, threshold=spec.threshold,
    )  # fmt: skip


def print_refit(result: Refit) -> None:
    """A table of before and after, and what it means."""
    table = Table(title=f"{result.data} test: {result.report.images:,} images", title_justify="left")
    for name in ("", "before", "after", "points", "95 %", "p"):
        table.add_column(name, justify="left" if not name else "right")
    for row in result.report.rows:
        table.add_row(
            f"{title_of(row)} (n = {row.images:,})",
            *(f"{100 * one.value:.2f} %" for one in (row.before, row.after)),
            f"{100 * row.difference.value:+.2f}",
            row.difference.times(100).ends(1),
            shown_p(row.p),
        )
    console.print(table)
    for sentence in (*result.verdict(), *result.remarks):
        console.print(sentence, markup=False)
    console.print(f"run directory: {shown(result.path)}", markup=False)


def _metrics(split: str, index: Index, logits: Any, temperature: float, groups: Groups | None) -> dict[str, float]:
    prefix = "val" if split == "valid" else split
    found = classification_metrics(index.labels, logits, temperature=temperature)
    if groups is not None:
        of = groups.of(index)
        found |= group_metrics(index.labels, logits, of, groups.names) | group_sizes(of, groups.names)
    return {f"{prefix}/{name}": value for name, value in found.items()}


def _config_of(config: RefitConfig, before: dict[str, Any], network: Network, search: FaceSearch) -> dict[str, Any]:
    """The configuration of the training, with the data and faces of the refit."""
    data = config.data.model_dump() | asdict(network.spec.framing)
    data["root"] = str(Path(config.data.root).expanduser().absolute())
    if config.data.attributes is not None:
        data["attributes"] = str(Path(config.data.attributes).expanduser().absolute())
    values = {"seed": 0, "model": {"name": network.spec.backbone}, **before}
    settings = {name: getattr(config, name) for name in ("method", "groups", "max_loss", "keep", "seed")}
    return {**values, **asdict(search), "name": "refit", "run_dir": config.output, "data": data, "refit": settings}


def _overrides(config: RefitConfig) -> list[str]:
    return [f"refit.method={config.method}", f"refit.groups=[{','.join(config.groups)}]"]


def _record(result: Refit, config: RefitConfig, before: dict[str, Any]) -> dict[str, Any]:
    """What `run.json` says of the refit; the model card is written from it."""
    trained = before.get("data")
    return {
        "source": result.source,
        "checkpoint": config.checkpoint,
        "method": result.method,
        "words": result.words,
        "chosen": dict(result.chosen),
        "head": result.head,
        "groups": dict(result.groups) if result.aim == "worst_group" else {},
        "images": result.fit_part.images,
        "persons": result.fit_part.persons,
        "data": result.data,
        "backbone_data": trained.get("name") if isinstance(trained, dict) else None,
        "verdict": list(result.verdict()),
    }


def _subject(
    config: RefitConfig, run: Run, network: Network, temperature: float, threshold: float, rule: str
) -> Subject:
    return Subject(
        checkpoint=str(run.path),
        run=run.path.name,
        data=config.data.name,
        split="test",
        own_data=True,
        model=network.described() | {"threshold_rule": rule},
        temperature=temperature,
        threshold=threshold,
    )
