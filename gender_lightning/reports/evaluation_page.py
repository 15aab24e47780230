"""`report.html`: one evaluation on one self-contained page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gender_lightning.diagnostics.looks import Look, Looks
from gender_lightning.evaluation.measure import Measure, decimal
from gender_lightning.evaluation.metric_list import label_of
from gender_lightning.evaluation.result_tables import at_own_threshold, why_one_threshold
from gender_lightning.evaluation.results import GROUPS, Evaluation, Slice
from gender_lightning.evaluation.subgroups.fairness import AttributeGap, GroupScore
from gender_lightning.evaluation.subgroups.group_words import (
    GAP_OF_ATTRIBUTE,
    LARGER_GAP,
    attribute_in_words,
    in_words,
)
from gender_lightning.reports.evaluation_figures import EvaluationFigures
from gender_lightning.reports.fairness_words import (
    comparable,
    detectable,
    empty_left_out,
    fairness_sentences,
    gap_text,
    gaps_note,
    groups_note,
    is_sure,
    skin_tone,
)
from gender_lightning.reports.group_figures import SIGNIFICANT
from gender_lightning.reports.page import number, percent, render, without_folders
from gender_lightning.reports.pictures import face_uri, overlaid
from gender_lightning.reports.words import NO_INTERVAL, limits, verdict, with_interval

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
    drawn: list[EvaluationFigures]
    suspects: pd.DataFrame
    corruptions: pd.DataFrame | None = None
    corruption_errors: tuple[tuple[str, str, str], ...] = ()
    looks: Looks | None = None


def report_page(findings: Findings) -> str:
    """Render the page as HTML text."""
    evaluation = findings.evaluation
    sections: dict[str, list[Any]] = {name: [] for name in ("fair", "good", "sure", "slices", "corruptions")}
    there = [found for found in evaluation.slices if found.images]
    for drawn in findings.drawn:
        sections[drawn.section].append({"svg": drawn.inline(), "caption": drawn.caption})
    values = {
        "evaluation": evaluation,
        "name": evaluation.run or without_folders(evaluation.checkpoint),
        "checkpoint": without_folders(evaluation.checkpoint),
        "verdict": verdict(evaluation, findings.corruptions),
        "of_more": _of_more(evaluation),
        "limits": limits(evaluation, findings.corruptions),
        "fair": _fair(evaluation),
        "cards": _cards(evaluation),
        "figures": sections,
        "no_interval": NO_INTERVAL,
        "same_threshold": why_one_threshold(evaluation),
        "metric_rows": [_metric_row(evaluation, name, label_of(name)) for name in evaluation.metrics],
        "calibration_rows": _calibration_rows(evaluation),
        "selective_rows": _selective_rows(evaluation),
        "knee": _knee_text(evaluation),
        "slice_rows": [_slice_row(found) for group in GROUPS for found in there if found.group == group],
        "views": _views(evaluation.model),
        "slices_left_out": empty_left_out([found.images for found in evaluation.slices], "slice"),
        "corruption_head": _corruption_head(findings.corruptions),
        "corruption_rows": _corruption_rows(findings.corruptions),
        "corruption_errors": findings.corruption_errors,
        "looks": None if findings.looks is None else _shown(findings.looks),
        "suspect_rows": [_suspect_row(row) for row in findings.suspects.head(_SUSPECTS).to_dict("records")],
        "suspects": len(findings.suspects),
    }
    return render("evaluation.html.j2", values)


def _views(model: Mapping[str, Any]) -> str:
    """What a logit is the mean of; nothing for a single view."""
    pictures = "a picture and its mirror image" if model.get("test_time_flip") else "a picture"
    *nearer, farthest = (f"{zoom:g}" for zoom in model.get("test_time_zooms") or (1.0,))
    if nearer:
        pictures += f", seen from {', '.join(nearer)} and {farthest} times as far away"
    return "" if pictures == "a picture" else f"Logits are means over {pictures}."


def _of_more(evaluation: Evaluation) -> str:
    """Of what there would have to be more to know the first number exactly; nothing where it has no interval."""
    if math.isnan(evaluation.metrics["accuracy"].low):
        return ""
    return "people" if evaluation.persons else "pictures"


def _cards(evaluation: Evaluation) -> list[tuple[str, str, str]]:
    metrics = evaluation.metrics
    shown = [(label_of(name).capitalize(), metrics[name]) for name in ("accuracy", "recall_male", "recall_female")]
    cards = [(name, percent(measure.value), measure.ends(1, 100)) for name, measure in shown]
    auroc, ece = metrics["auroc"], evaluation.calibration.ece
    cards.append(("AUROC", number(auroc.value, 4), auroc.ends()))
    chance = number(evaluation.calibration.ece_by_chance, 3)
    cards.append(("Calibration error", number(ece.value, 3), f"{chance} by chance alone"))
    if evaluation.fairness is not None:
        worst = evaluation.fairness.worst_group
        if worst is not None:
            cards.append(("Lowest group", percent(worst.accuracy.value), in_words(worst.name)))
    return cards


def _fair(evaluation: Evaluation) -> dict[str, Any] | None:
    fairness = evaluation.fairness
    if fairness is None:
        return None
    identified = evaluation.persons is not None
    gaps = comparable(fairness.attributes)
    head: list[Any] = [{"name": "group", "text": True}, {"name": "images", "first": "falling"}]
    head += ["persons", "right", "right, every person once", "p"] if identified else ["right", "p"]
    return {
        "sentences": fairness_sentences(fairness, identified=identified),
        "skin_tone": skin_tone(fairness),
        "group_head": head,
        "groups": [_group_row(group, identified=identified) for group in fairness.groups if group.images],
        "group_attributes": [attribute_in_words(name) for name in fairness.group_attributes],
        "groups_note": groups_note(fairness.groups, identified=identified),
        "gaps": [_gap_row(gap) for gap in gaps],
        "gap_is": GAP_OF_ATTRIBUTE,
        "larger_gap_is": LARGER_GAP,
        "gaps_note": gaps_note(fairness.attributes, gaps, identified=identified),
    }


def _group_row(group: GroupScore, *, identified: bool) -> dict[str, Any]:
    """Without known persons there is nothing to say of them: each image counts as one."""
    cells = [
        {"show": in_words(group.name), "text": True, "tag": None if group.judged else "small"},
        {"show": f"{group.images:,}", "value": group.images},
        *([{"show": f"{group.persons:,}", "value": group.persons}] if identified else []),
        {"show": with_interval(group.accuracy), "value": group.accuracy.value},
        *([{"show": with_interval(group.per_person), "value": group.per_person.value}] if identified else []),
        {"show": _p(group.p_holm), "value": group.p_holm},
    ]
    marked = "mark" if group.p_holm < SIGNIFICANT else ""
    return {"cells": cells, "class": marked if group.judged else "faint"}


def _gap_row(gap: AttributeGap) -> dict[str, Any]:
    smallest, known = detectable(gap), not math.isnan(gap.size)
    cells: list[dict[str, Any]] = [
        {"show": attribute_in_words(gap.attribute), "tag": None if known else "small"},
        {"show": f"{gap.images:,}", "value": gap.images},
    ]
    for found in (gap.male, gap.female):
        cells.append({"show": gap_text(found) + ("*" if is_sure(found) else ""), "value": _sort_value(found.measure)})
    odds = gap.equalized_odds
    cells.append({"show": odds.times(100).text(1), "value": _sort_value(odds)})
    cells.append({"show": decimal(100 * smallest, 1), "value": smallest})
    sure = is_sure(gap.male) or is_sure(gap.female)
    return {"cells": cells, "class": ("mark" if sure else "") if known else "faint"}


def _sort_value(measure: Measure) -> float:
    """What a table of gaps is sorted by: what has no interval stays at the end."""
    return math.nan if math.isnan(measure.low) else measure.value


def _metric_row(evaluation: Evaluation, name: str, shown: str) -> list[Any]:
    at_half, own = evaluation.metrics[name], at_own_threshold(evaluation)
    as_share = name not in ("mcc", "auroc", "average_precision")

    def text(measure: Measure | None) -> str:
        if measure is None:
            return ""
        if as_share:
            return with_interval(measure)
        return measure.text(3)

    wilson = (
        "" if math.isnan(at_half.wilson_low) else f"{100 * at_half.wilson_low:.1f} to {100 * at_half.wilson_high:.1f}"
    )
    return [shown, text(at_half), wilson, *([text(own.get(name))] if own else [])]


def _calibration_rows(evaluation: Evaluation) -> list[list[str]]:
    found = evaluation.calibration
    pairs = (
        ("ECE", found.ece_uncalibrated, found.ece), ("Brier score", found.brier_uncalibrated, found.brier),
        ("log-loss, nats", found.loss_uncalibrated, found.loss),
    )  # fmt: skip
    return [[name, *(measure.text() for measure in both)] for name, *both in pairs]


def _selective_rows(evaluation: Evaluation) -> list[list[str]]:
    """One row per wanted accuracy for which valid gave a confidence."""
    return [
        [
            percent(rule.target_accuracy, 1), percent(1 - rule.error_rate, 0), number(rule.min_confidence, 4),
            percent(rule.coverage), percent(rule.coverage_male), percent(rule.coverage_female),
            with_interval(rule.accuracy),
        ]
        for rule in evaluation.selective.guaranteed
        if rule.exists
    ]  # fmt: skip


def _knee_text(evaluation: Evaluation) -> str:
    """What `min_confidence=auto` does; empty where there is no knee."""
    knee = evaluation.selective.knee
    if knee is None:
        return ""
    if knee.min_confidence == 0:
        return "The risk-coverage curve of the validation split has no knee: min_confidence=auto decides everything."
    return (
        f"With min_confidence=auto labels are given from a confidence of {number(knee.min_confidence, 4)} on, at the "
        f"knee of the validation split's curve: {percent(knee.valid_coverage)} are decided there, every person "
        f"counting once, and {percent(knee.valid_risk, 2)} of these wrongly, instead of "
        f"{percent(knee.valid_risk_of_all, 2)} of all. Of these images {percent(knee.coverage)} are decided, "
        f"{with_interval(knee.accuracy)} of them rightly. "
        "The knee is where the curve lies furthest below the chord from nothing to everything: deciding less would "
        "lower the risk by less than it does on average, deciding more would raise it by more. It promises no accuracy."
    )


def _slice_row(row: Slice) -> dict[str, Any]:
    sure = row.p_holm < SIGNIFICANT
    difference = row.difference
    cells = [
        {"show": row.words, "text": True, "tag": "small" if row.small else None},
        {"show": row.group, "value": GROUPS.index(row.group), "text": True},
        {"show": f"{row.images:,}", "value": row.images},
        {"show": with_interval(row.accuracy), "value": row.accuracy.value},
        _measured(row.recall_male),
        _measured(row.recall_female),
        {"show": difference.times(100).text(1), "value": difference.value},
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
