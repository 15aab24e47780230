"""`report.html`: one evaluation on one page that needs nothing else."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gender_lightning.diagnostics.looks import Look, Looks
from gender_lightning.evaluation.metric_list import label_of
from gender_lightning.evaluation.summary import GROUPS, Evaluation, Measure, Slice
from gender_lightning.reports.evaluation_figures import Drawn
from gender_lightning.reports.group_figures import SIGNIFICANT
from gender_lightning.reports.page import number, percent, render
from gender_lightning.reports.pictures import face_uri, overlaid
from gender_lightning.reports.words import limits, verdict, with_interval

if TYPE_CHECKING:
    import pandas as pd

_CLASSES = ("female", "male")
_SUSPECTS = 30


@dataclass(frozen=True)
class Findings:
    """What a page is made of.

    Attributes:
        evaluation: The numbers.
        drawn: The figures.
        suspects: Of `suspects_table`.
        corruptions: Of `corruption_table`; None where they were not measured.
        corruption_errors: Name and value of mean corruption errors, with how they were measured.
        looks: The faces; None where pictures are left out.
    """

    evaluation: Evaluation
    drawn: list[Drawn]
    suspects: pd.DataFrame
    corruptions: pd.DataFrame | None = None
    corruption_errors: tuple[tuple[str, str, str], ...] = ()
    looks: Looks | None = None


def report_page(findings: Findings) -> str:
    """The page's text."""
    evaluation = findings.evaluation
    sections: dict[str, list[Any]] = {name: [] for name in ("good", "sure", "slices", "corruptions")}
    for it in findings.drawn:
        sections[it.section].append({"svg": it.inline(), "caption": it.caption})
    values = {
        "evaluation": evaluation,
        "name": evaluation.run or evaluation.checkpoint,
        "verdict": verdict(evaluation, findings.corruptions),
        "limits": limits(evaluation, findings.corruptions),
        "cards": _cards(evaluation),
        "figures": sections,
        "metric_rows": [_metric_row(evaluation, name, label_of(name)) for name in evaluation.metrics],
        "calibration_rows": _calibration_rows(evaluation),
        "selective_rows": _selective_rows(evaluation),
        "slice_rows": [_slice_row(it) for group in GROUPS for it in evaluation.slices if it.group == group],
        "corruption_head": _corruption_head(findings.corruptions),
        "corruption_rows": _corruption_rows(findings.corruptions),
        "corruption_errors": findings.corruption_errors,
        "looks": None if findings.looks is None else _shown(findings.looks),
        "suspect_rows": [_suspect_row(row) for row in findings.suspects.head(_SUSPECTS).to_dict("records")],
        "suspects": len(findings.suspects),
    }
    return render("evaluation.html.j2", values)


def _cards(evaluation: Evaluation) -> list[tuple[str, str, str]]:
    metrics = evaluation.metrics
    shown = [(label_of(name).capitalize(), metrics[name]) for name in ("accuracy", "recall_male", "recall_female")]
    cards = [(name, percent(it.value), _interval(it, 100, 1)) for name, it in shown]
    auroc, ece = metrics["auroc"], evaluation.calibration.ece
    cards.append(("AUROC", number(auroc.value, 4), _interval(auroc, 1, 4)))
    chance = number(evaluation.calibration.ece_by_chance, 3)
    cards.append(("Calibration error", number(ece.value, 3), f"{chance} by chance alone"))
    for it in evaluation.selective.reached[:1]:
        cards.append((f"Decided at {it.accuracy:.0%} right", percent(it.coverage), "if it may abstain"))
    return cards


def _interval(measure: Measure, scale: float, digits: int) -> str:
    if math.isnan(measure.low):
        return ""
    return f"{scale * measure.low:.{digits}f} to {scale * measure.high:.{digits}f}"


def _metric_row(evaluation: Evaluation, name: str, shown: str) -> list[Any]:
    at_half = evaluation.metrics[name]
    chosen = evaluation.metrics_at_threshold.get(name)
    as_share = name not in ("mcc", "auroc", "average_precision")

    def text(measure: Measure | None) -> str:
        if measure is None:
            return ""
        if as_share:
            return with_interval(measure)
        span = f" ({_interval(measure, 1, 3)})" if not math.isnan(measure.low) else ""
        return number(measure.value, 3) + span

    wilson = (
        "" if math.isnan(at_half.wilson_low) else f"{100 * at_half.wilson_low:.1f} to {100 * at_half.wilson_high:.1f}"
    )
    return [shown, text(at_half), wilson, text(chosen)]


def _calibration_rows(evaluation: Evaluation) -> list[list[str]]:
    it = evaluation.calibration
    pairs = (
        ("ECE", it.ece_uncalibrated, it.ece), ("Brier score", it.brier_uncalibrated, it.brier),
        ("log-loss, nats", it.loss_uncalibrated, it.loss),
    )  # fmt: skip
    return [[name, *(f"{number(m.value, 4)} ({_interval(m, 1, 4)})" for m in both)] for name, *both in pairs]


def _selective_rows(evaluation: Evaluation) -> list[list[str]]:
    return [
        [
            percent(it.target_accuracy, 1), percent(1 - it.error_rate, 0), number(it.min_confidence, 4),
            percent(it.coverage), percent(it.coverage_male), percent(it.coverage_female), with_interval(it.accuracy),
        ]
        for it in evaluation.selective.guaranteed
    ]  # fmt: skip


def _slice_row(it: Slice) -> dict[str, Any]:
    sure = it.p_holm < SIGNIFICANT
    difference = it.difference
    cells = [
        {"show": it.name, "tag": "small" if it.small else None},
        {"show": it.group, "value": GROUPS.index(it.group), "text": True},
        {"show": f"{it.images:,}", "value": it.images},
        _measured(it.accuracy),
        {"show": _interval(it.accuracy, 100, 1), "value": it.accuracy.low},
        _measured(it.recall_male),
        _measured(it.recall_female),
        {"show": number(100 * difference.value, 1), "value": difference.value},
        {"show": _interval(difference, 100, 1), "value": difference.low},
        {"show": _p(it.p_holm), "value": it.p_holm},
    ]
    marked = "mark" if sure and difference.value < 0 else ""
    return {"cells": cells, "class": "faint" if it.small else marked}


def _measured(measure: Measure) -> dict[str, Any]:
    return {"show": percent(measure.value), "value": measure.value}


def _p(value: float) -> str:
    return "" if math.isnan(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"


def _corruption_head(table: pd.DataFrame | None) -> list[Any]:
    if table is None:
        return []
    severities = sorted({int(it) for it in table["severity"] if it > 0})
    names = [f"severity {it}" for it in severities]
    return ["corruption", {"name": "group", "text": True}, *names, "mean error", "recall, male", "recall, female"]


def _corruption_rows(table: pd.DataFrame | None) -> list[list[Any]]:
    if table is None:
        return []
    rows = []
    for name, found in table[table["severity"] > 0].groupby("corruption", sort=False):
        accuracy = [{"show": percent(it), "value": it, "style": _heat(it)} for it in found["accuracy"].tolist()]
        means = {column: float(found[column].mean()) for column in ("error", "recall_male", "recall_female")}
        last = [{"show": percent(it), "value": it} for it in means.values()]
        group = {"show": str(found["group"].iloc[0]), "text": True}
        rows.append([str(name).replace("_", " "), group, *accuracy, *last])
    return rows


def _heat(accuracy: float) -> str:
    """The worse, the more orange; a percentage of a colour of the page, so that it follows light and dark."""
    share = max(0.0, min(1.0, (1 - accuracy) / 0.5))
    return f"background: color-mix(in srgb, var(--orange) {round(55 * share)}%, transparent)"


def _shown(looks: Looks) -> dict[str, Any]:
    return {
        "telling": {kind: [_tile(it) for it in found] for kind, found in looks.telling.items()},
        "mistakes": [_tile(it) for it in looks.mistakes],
        "mistakes_in_all": looks.mistakes_in_all,
        "means": {
            name: {"face": face_uri(face), "map": face_uri(overlaid(face, heat))}
            for name, (face, heat) in looks.means.items()
        },
        "mean_images": looks.mean_images,
        "cells": looks.cells,
        "method": looks.method,
        "why_not": looks.why_not,
    }


def _tile(it: Look) -> dict[str, Any]:
    label, said = _CLASSES[it.label], _CLASSES[it.said]
    confidence = it.probability if it.said else 1 - it.probability
    return {
        "id": it.image_id, "label": label, "said": said, "loss": number(it.loss, 2), "sure": percent(confidence),
        "face": face_uri(it.face), "map": None if it.heat is None else face_uri(overlaid(it.face, it.heat)),
        "alt": f"{it.image_id}: labelled {label}, called {said}",
    }  # fmt: skip


def _suspect_row(row: Any) -> list[Any]:
    probability = float(row["probability"])
    return [
        str(row["image_id"]),
        {"show": row["label"], "text": True},
        {"show": row["suggested"], "text": True},
        {"show": percent(probability, 2), "value": probability},
    ]
