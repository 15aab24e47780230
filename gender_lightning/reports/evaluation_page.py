"""`report.html`: one evaluation on one self-contained page."""

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
    """The contents of an evaluation page.

    Attributes:
        evaluation: The numbers.
        drawn: The figures.
        suspects: The result of `suspects_table`.
        corruptions: The result of `corruption_table`; None where corruptions were not measured.
        corruption_errors: Name, value and measuring conditions of each mean corruption error.
        looks: The faces with their heat maps; None where pictures are left out.
    """

    evaluation: Evaluation
    drawn: list[Drawn]
    suspects: pd.DataFrame
    corruptions: pd.DataFrame | None = None
    corruption_errors: tuple[tuple[str, str, str], ...] = ()
    looks: Looks | None = None


def report_page(findings: Findings) -> str:
    """Render the page as HTML text."""
    evaluation = findings.evaluation
    sections: dict[str, list[Any]] = {name: [] for name in ("good", "sure", "slices", "corruptions")}
    for drawn in findings.drawn:
        sections[drawn.section].append({"svg": drawn.inline(), "caption": drawn.caption})
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
        "slice_rows": [_slice_row(slice_) for group in GROUPS for slice_ in evaluation.slices if slice_.group == group],
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
    cards = [(name, percent(measure.value), _interval(measure, 100, 1)) for name, measure in shown]
    auroc, ece = metrics["auroc"], evaluation.calibration.ece
    cards.append(("AUROC", number(auroc.value, 4), _interval(auroc, 1, 4)))
    chance = number(evaluation.calibration.ece_by_chance, 3)
    cards.append(("Calibration error", number(ece.value, 3), f"{chance} by chance alone"))
    for point in evaluation.selective.reached[:1]:
        cards.append((f"Decided at {point.accuracy:.0%} right", percent(point.coverage), "if it may abstain"))
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
    found = evaluation.calibration
    pairs = (
        ("ECE", found.ece_uncalibrated, found.ece), ("Brier score", found.brier_uncalibrated, found.brier),
        ("log-loss, nats", found.loss_uncalibrated, found.loss),
    )  # fmt: skip
    return [[name, *(f"{number(m.value, 4)} ({_interval(m, 1, 4)})" for m in both)] for name, *both in pairs]


def _selective_rows(evaluation: Evaluation) -> list[list[str]]:
    return [
        [
            percent(rule.target_accuracy, 1), percent(1 - rule.error_rate, 0), number(rule.min_confidence, 4),
            percent(rule.coverage), percent(rule.coverage_male), percent(rule.coverage_female),
            with_interval(rule.accuracy),
        ]
        for rule in evaluation.selective.guaranteed
    ]  # fmt: skip


def _slice_row(row: Slice) -> dict[str, Any]:
    sure = row.p_holm < SIGNIFICANT
    difference = row.difference
    cells = [
        {"show": row.name, "tag": "small" if row.small else None},
        {"show": row.group, "value": GROUPS.index(row.group), "text": True},
        {"show": f"{row.images:,}", "value": row.images},
        _measured(row.accuracy),
        {"show": _interval(row.accuracy, 100, 1), "value": row.accuracy.low},
        _measured(row.recall_male),
        _measured(row.recall_female),
        {"show": number(100 * difference.value, 1), "value": difference.value},
        {"show": _interval(difference, 100, 1), "value": difference.low},
        {"show": _p(row.p_holm), "value": row.p_holm},
    ]
    marked = "mark" if sure and difference.value < 0 else ""
    return {"cells": cells, "class": "faint" if row.small else marked}


def _measured(measure: Measure) -> dict[str, Any]:
    return {"show": percent(measure.value), "value": measure.value}


def _p(value: float) -> str:
    return "" if math.isnan(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"


def _corruption_head(table: pd.DataFrame | None) -> list[Any]:
    if table is None:
        return []
    severities = sorted({int(severity) for severity in table["severity"] if severity > 0})
    names = [f"severity {severity}" for severity in severities]
    return ["corruption", {"name": "group", "text": True}, *names, "mean error", "recall, male", "recall, female"]


def _corruption_rows(table: pd.DataFrame | None) -> list[list[Any]]:
    if table is None:
        return []
    rows = []
    for name, found in table[table["severity"] > 0].groupby("corruption", sort=False):
        accuracy = [
            {"show": percent(value), "value": value, "style": _heat(value)} for value in found["accuracy"].tolist()
        ]
        means = {column: float(found[column].mean()) for column in ("error", "recall_male", "recall_female")}
        last = [{"show": percent(value), "value": value} for value in means.values()]
        group = {"show": str(found["group"].iloc[0]), "text": True}
        rows.append([str(name).replace("_", " "), group, *accuracy, *last])
    return rows


def _heat(accuracy: float) -> str:
    """Shade low accuracies orange, mixed from a page colour so that it follows the light and dark themes."""
    share = max(0.0, min(1.0, (1 - accuracy) / 0.5))
    return f"background: color-mix(in srgb, var(--orange) {round(55 * share)}%, transparent)"


def _shown(looks: Looks) -> dict[str, Any]:
    return {
        "telling": {kind: [_tile(look) for look in found] for kind, found in looks.telling.items()},
        "mistakes": [_tile(look) for look in looks.mistakes],
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


def _tile(look: Look) -> dict[str, Any]:
    label, said = _CLASSES[look.label], _CLASSES[look.said]
    confidence = look.probability if look.said else 1 - look.probability
    return {
        "id": look.image_id, "label": label, "said": said, "loss": number(look.loss, 2), "sure": percent(confidence),
        "face": face_uri(look.face), "map": None if look.heat is None else face_uri(overlaid(look.face, look.heat)),
        "alt": f"{look.image_id}: labelled {label}, called {said}",
    }  # fmt: skip


def _suspect_row(row: Any) -> list[Any]:
    probability = float(row["probability"])
    return [
        str(row["image_id"]),
        {"show": row["label"], "text": True},
        {"show": row["suggested"], "text": True},
        {"show": percent(probability, 2), "value": probability},
    ]
