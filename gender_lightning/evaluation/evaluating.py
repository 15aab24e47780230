"""From a predictions table to all numbers of an `Evaluation`; no model is needed any more."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from gender_lightning.errors import UserError
from gender_lightning.evaluation import calibration, selective
from gender_lightning.evaluation.chosen_knee import ChosenKnee
from gender_lightning.evaluation.decisions import decision_intervals
from gender_lightning.evaluation.knee import Knee, find_knee
from gender_lightning.evaluation.measure import Measure
from gender_lightning.evaluation.metric_list import metrics_of
from gender_lightning.evaluation.metrics import confusion_columns, probabilities
from gender_lightning.evaluation.predictions import attributes_of
from gender_lightning.evaluation.results import (
    AttainableCoverage,
    Calibration,
    ChosenAbstention,
    Evaluation,
    Selective,
    Slice,
    TrainingData,
)
from gender_lightning.evaluation.statistics.intervals import RESAMPLES, Resampling, clusters_of
from gender_lightning.evaluation.statistics.proportions import (
    FEWEST_PERSONS,
    LEVEL,
    NOWHERE,
    Floats,
    persons_in,
    wilson,
)
from gender_lightning.evaluation.statistics.totals import MetricColumns, loss_columns, ranking_columns
from gender_lightning.evaluation.subgroups.fairness import Decisions, Fairness, measure_fairness
from gender_lightning.evaluation.subgroups.properties import FROM_LANDMARKS, FROM_PIXELS
from gender_lightning.evaluation.subgroups.rules import slice_rules
from gender_lightning.evaluation.subgroups.slices import measure_slices, worst_slice
from gender_lightning.evaluation.suspects import suspect_rows

if TYPE_CHECKING:
    import pandas as pd

ATTAINABLE = (0.99, 0.995)
TARGETS = (0.95, 0.98, 0.99, 0.995)
_CURVE_POINTS = 200


@dataclass(frozen=True)
class Subject:
    """What is evaluated: fields of `Evaluation`, and the two numbers that were fitted on valid.

    Attributes:
        checkpoint: The checkpoint as the user typed it.
        run: Name of the run; empty outside of a run.
        data: Kind of the data.
        split: Part of the data.
        own_data: Whether the data are those of the run, as far as is known: the model learned from their train
            split, and its choices were made on their valid split.
        model: `Evaluation.model`.
        temperature: Fitted on valid.
        threshold: Chosen on valid.
        training_data: What the model learned from, where that is known.
    """

    checkpoint: str
    run: str
    data: str
    split: Literal["train", "valid", "test"]
    own_data: bool
    model: dict[str, Any]
    temperature: float = 1.0
    threshold: float = 0.5
    training_data: TrainingData | None = None


@dataclass(frozen=True)
class _Decided:
    """A split in arrays: labels, logits, probabilities of male, which images are of one person."""

    labels: NDArray[np.int64]
    logits: Floats
    probability: Floats
    clusters: NDArray[np.int64]


def evaluate_table(
    subject: Subject,
    table: pd.DataFrame,
    valid: pd.DataFrame | None,
    *,
    groups: Sequence[str] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Evaluation:
    """Compute all numbers of a predictions table.

    Args:
        subject: What is evaluated.
        table: A `predictions_table` with at least one image of each class and finite logits; measured properties are
            further columns, by the names of `properties`.
        valid: The run's predictions on valid, on which abstention is chosen; None where there are none.
        groups: Attributes whose intersections are measured; None takes age and make-up where the data have them.
        resamples: Number of resamples of the bootstrap.
        seed: Seed of the bootstrap.

    Raises:
        UserError: The data lack an attribute of `groups`.
    """
    split = _decided(table, subject.temperature)
    resampling = Resampling(split.clusters, resamples=resamples, seed=seed)
    identified = bool(table["identity"].notna().any())
    slices = _slices(split, table, resampling)
    losses, raw = _losses(split, subject.temperature, resampling)
    return Evaluation(
        checkpoint=subject.checkpoint,
        run=subject.run,
        data=subject.data,
        split=subject.split,
        trained_on=_trained_on(subject),
        model=subject.model,
        images=len(table),
        males=int(split.labels.sum()),
        persons=int(table["identity"].nunique()) if identified else None,
        level=LEVEL,
        resamples=resamples,
        seed=seed,
        metrics=_metrics(split, losses, resampling),
        metrics_at_threshold=_decision_measures(split, subject.threshold),
        calibration=_calibration(split, subject, losses, raw, resampling),
        selective=_selective(split, subject, valid),
        slices=slices,
        worst_slice=worst_slice(slices),
        suspects=len(suspect_rows(split.labels, split.probability)),
        fairness=_fairness(split, table, resampling, groups),
        training_data=subject.training_data,
        remarks=_remarks(subject, split, identified, bool(attributes_of(table)), valid is not None),
    )


def _decided(table: pd.DataFrame, temperature: float) -> _Decided:
    logits = table["logit"].to_numpy(np.float64)
    assert len(table) and np.isfinite(logits).all()
    clusters = clusters_of(table["identity"].array, len(table))
    return _Decided(table["label"].to_numpy(np.int64), logits, probabilities(logits, temperature), clusters)


def _measures(part: MetricColumns, resampling: Resampling) -> dict[str, Measure]:
    return dict(zip(part.names, _bootstrapped(part, resampling), strict=True))


def _bootstrapped(part: MetricColumns, resampling: Resampling) -> list[Measure]:
    boot = resampling.bootstrap(part.columns, part.metric)
    return [Measure(value, *ends) for value, ends in zip(boot.estimate.tolist(), boot.intervals(), strict=True)]


def _losses(
    split: _Decided, temperature: float, resampling: Resampling
) -> tuple[dict[str, Measure], dict[str, Measure]]:
    """Each loss with the temperature and without it, from one bootstrap."""
    both = loss_columns(split.labels, split.logits / temperature, split.logits)
    names, found = both.names[: len(both.names) // 2], _bootstrapped(both, resampling)
    after, before = found[: len(names)], found[len(names) :]
    return dict(zip(names, after, strict=True)), dict(zip(names, before, strict=True))


def _decision_measures(split: _Decided, threshold: float) -> dict[str, Measure]:
    """Metrics of a threshold, with Wilson's interval beside where they are proportions."""
    decided = split.probability >= threshold
    cells = confusion_columns(split.labels, decided).sum(axis=0)
    proportions = {metric.name: metric.proportion for metric in metrics_of("decision")}
    measures = {}
    for name, (value, interval) in decision_intervals(split.labels, decided, split.clusters).items():
        hits, whole = proportions[name] or ((), ())
        beside = wilson(cells[list(hits)].sum(), cells[list(whole)].sum())  # nowhere for what is not a proportion
        measures[name] = Measure(value, *interval, *beside)
    return measures


def _metrics(split: _Decided, losses: Mapping[str, Measure], resampling: Resampling) -> dict[str, Measure]:
    """All metrics at 0.5 but those losses that have a place of their own in `Calibration`."""
    own = {name: measure for name, measure in losses.items() if name not in ("loss", "brier")}
    ranking = _measures(ranking_columns(split.labels, split.logits), resampling)
    exact = {
        metric.name: Measure(float(metric.formula(split.labels.astype(np.bool_), split.logits)), *NOWHERE)
        for metric in metrics_of("ranking")
        if metric.name not in ranking
    }
    return _decision_measures(split, 0.5) | ranking | exact | own


def _calibration(
    split: _Decided,
    subject: Subject,
    after: Mapping[str, Measure],
    raw: Mapping[str, Measure],
    resampling: Resampling,
) -> Calibration:
    labels, before = split.labels, probabilities(split.logits)
    chance = calibration.ece_by_chance(labels, split.probability, resampling.groups, seed=resampling.seed)
    return Calibration(
        temperature=subject.temperature,
        threshold=subject.threshold,
        ece=_measures(calibration.ece_columns(labels, split.probability), resampling)["ece"],
        ece_uncalibrated=_measures(calibration.ece_columns(labels, before), resampling)["ece"],
        ece_by_chance=float(chance.mean()),
        ece_by_chance_high=float(np.quantile(chance, 0.95)),
        brier=after["brier"],
        brier_uncalibrated=raw["brier"],
        loss=after["loss"],
        loss_uncalibrated=raw["loss"],
        bins=calibration.reliability_bins(labels, split.probability, split.clusters),
        bins_uncalibrated=calibration.reliability_bins(labels, before, split.clusters),
        scale_z=calibration.scale_z(labels, split.logits / subject.temperature, split.clusters),
    )


def _selective(split: _Decided, subject: Subject, valid: pd.DataFrame | None) -> Selective:
    curve = selective.risk_coverage(split.labels, split.probability)
    points = np.unique(np.linspace(0, len(curve.risk) - 1, _CURVE_POINTS).round().astype(int))
    guaranteed: list[ChosenAbstention] = []
    knee = None
    if valid is not None and np.isfinite(valid["logit"]).all():
        clusters = clusters_of(valid["identity"].array, len(valid))
        for target in TARGETS:
            chosen = selective.choose_abstention(
                valid["label"], valid["logit"], subject.temperature, target, clusters=clusters
            )
            guaranteed.append(_guaranteed(split, chosen, subject.own_data and subject.split == "test"))
        found = find_knee(valid["label"], valid["logit"], subject.temperature, clusters=clusters)
        knee = _knee_on(split, found)
    return Selective(
        aurc=curve.aurc,
        aurc_of_oracle=curve.aurc_of_oracle,
        coverage=curve.coverage[points].tolist(),
        risk=curve.risk[points].tolist(),
        min_confidence=curve.min_confidence[points].tolist(),
        reached=[_reached(split, accuracy, curve.confidence_at(accuracy)) for accuracy in ATTAINABLE],
        guaranteed=guaranteed,
        knee=knee,
    )


def _reached(split: _Decided, accuracy: float, min_confidence: float | None) -> AttainableCoverage:
    if min_confidence is None:
        return AttainableCoverage(accuracy, math.nan, 0.0, 0.0, 0.0)
    found = selective.select(split.labels, split.probability, min_confidence)
    return AttainableCoverage(accuracy, min_confidence, found.coverage, found.coverage_male, found.coverage_female)


def _guaranteed(split: _Decided, chosen: selective.Abstention, holds: bool) -> ChosenAbstention:
    least, accuracy = chosen.min_confidence, Measure(math.nan, *NOWHERE)
    coverage = (math.nan, math.nan, math.nan)
    if least is not None:
        found = selective.select(split.labels, split.probability, least)
        coverage = (found.coverage, found.coverage_male, found.coverage_female)
        accuracy = _accuracy_from(split, least)
    return ChosenAbstention(
        chosen.target_accuracy,
        chosen.error_rate,
        math.nan if least is None else least,
        chosen.images,
        math.nan if least is None else chosen.coverage,
        *coverage,
        accuracy,
        holds,
    )


def _accuracy_from(split: _Decided, least: float) -> Measure:
    """Accuracy on what is decided from a confidence on."""
    kept = selective.confidence(split.probability) >= least
    if not kept.any():
        return Measure(math.nan, *NOWHERE)
    part = _Decided(split.labels[kept], split.logits[kept], split.probability[kept], split.clusters[kept])
    return _decision_measures(part, 0.5)["accuracy"]


def _knee_on(split: _Decided, found: Knee) -> ChosenKnee:
    least, curve = found.min_confidence, found.curve
    return ChosenKnee(
        least, found.coverage, found.risk, found.risk_of_all, curve[:, 0].tolist(), curve[:, 1].tolist(),
        selective.select(split.labels, split.probability, least).coverage, _accuracy_from(split, least),
    )  # fmt: skip


def _trained_on(subject: Subject) -> bool:
    return subject.own_data and subject.split == "train"


def _slices(split: _Decided, table: pd.DataFrame, resampling: Resampling) -> list[Slice]:
    names = [name for name in (*FROM_PIXELS, *FROM_LANDMARKS) if name in table.columns]
    rules = slice_rules(split.labels, attributes_of(table), {name: table[name].to_numpy(np.float64) for name in names})
    return measure_slices(split.labels, split.probability >= 0.5, split.clusters, rules, resampling)


def _fairness(split: _Decided, table: pd.DataFrame, resampling: Resampling, groups: Sequence[str] | None) -> Fairness:
    attributes = attributes_of(table)
    lacking = [name for name in groups or () if name not in attributes]
    if lacking:
        raise UserError(
            f"groups: the data have no attribute {' or '.join(lacking)}.",
            f"Choose among {', '.join(attributes) or 'nothing: these data have no attributes'}.",
            field="groups",
        )
    right = (split.probability >= 0.5) == (split.labels == 1)
    return measure_fairness(Decisions.of(split.labels, right, split.clusters, attributes), resampling, groups)


def _remarks(subject: Subject, split: _Decided, identified: bool, attributes: bool, valid: bool) -> list[str]:
    male = split.labels == 1
    fewest = min(persons_in(split.clusters[rows]) for rows in (male, ~male))
    who = ("person" if identified else "image") + ("" if fewest == 1 else "s")
    remarks: Sequence[tuple[bool, str]] = (
        (
            _trained_on(subject),
            "The model learned from these very images: the numbers say how well it remembers them, not how good it "
            "is, and the list of suspect labels is short of those that it has learned by heart.",
        ),
        (
            subject.own_data and subject.split == "valid",
            "The best epoch, the temperature, the threshold and the confidences for abstaining were chosen on these "
            "images, so that the numbers flatter the model; the test split is the judge.",
        ),
        (
            not identified,
            "The identities are not known, so that images were taken as independent; where there are several of a "
            "person, the intervals are too narrow.",
        ),
        (
            fewest < FEWEST_PERSONS,
            f"There {'is' if fewest == 1 else 'are'} only {fewest} {who} of one class: an interval needs at least "
            f"{FEWEST_PERSONS}, and where one is missing the number stands for these images alone.",
        ),
        (
            not subject.own_data and valid,
            "The confidences for abstaining were chosen on the run's own valid split, and these are other data: what "
            "was wanted there need not hold here.",
        ),
        (not attributes, "The data have no attributes: subgroups are those of measured properties only."),
        (
            not valid,
            "There are no predictions on valid to choose on: no confidence for abstaining comes with a guarantee.",
        ),
    )
    return [sentence for applies, sentence in remarks if applies]
