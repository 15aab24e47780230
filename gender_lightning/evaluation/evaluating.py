"""From a predictions table to all numbers of an `Evaluation`; no model is needed any more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from gender_lightning.evaluation import calibration, selective
from gender_lightning.evaluation.decisions import decision_intervals
from gender_lightning.evaluation.metric_list import metrics_of
from gender_lightning.evaluation.metrics import confusion_columns, probabilities
from gender_lightning.evaluation.properties import FROM_LANDMARKS, FROM_PIXELS
from gender_lightning.evaluation.rules import slice_rules
from gender_lightning.evaluation.slices import measure_slices, worst_slice
from gender_lightning.evaluation.statistics.intervals import RESAMPLES, Resampling, clusters_of
from gender_lightning.evaluation.statistics.proportions import (
    FEWEST_PERSONS,
    LEVEL,
    NOWHERE,
    Floats,
    persons_in,
    wilson,
)
from gender_lightning.evaluation.statistics.tallies import Tally, loss_tally, ranking_tally
from gender_lightning.evaluation.summary import (
    Calibration,
    Evaluation,
    Guaranteed,
    Measure,
    Reached,
    Selective,
    Slice,
)
from gender_lightning.evaluation.suspects import suspect_rows

if TYPE_CHECKING:
    import pandas as pd

REACHED = (0.99, 0.995)
GUARANTEED = (0.95, 0.98, 0.99, 0.995)
_CURVE_POINTS = 200


@dataclass(frozen=True)
class Subject:
    """What is evaluated: fields of `Evaluation`, and the two numbers that were fitted on valid.

    Attributes:
        own_data: Whether the data are those of the run, as far as is known: the model learned from their train
            split, and its choices were made on their valid split.
    """

    checkpoint: str
    run: str
    data: str
    split: Literal["train", "valid", "test"]
    own_data: bool
    model: dict[str, Any]
    temperature: float = 1.0
    threshold: float = 0.5


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
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Evaluation:
    """All numbers of a predictions table.

    Args:
        subject: What is evaluated.
        table: Of `predictions_table`, at least one image of each class, logits finite; measured properties as
            further columns, by the names of `properties`.
        valid: The run's predictions on valid, on which abstention is chosen; None where there are none.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.
    """
    split = _decided(table, subject.temperature)
    resampling = Resampling(split.clusters, resamples=resamples, seed=seed)
    identified = bool(table["identity"].notna().any())
    slices = _slices(split, table, resampling)
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
        metrics=_metrics(split, subject, resampling),
        metrics_at_threshold=_decision_measures(split, subject.threshold),
        calibration=_calibration(split, subject, resampling, seed),
        selective=_selective(split, subject, valid),
        slices=slices,
        worst_slice=worst_slice(slices),
        suspects=len(suspect_rows(split.labels, split.probability)),
        remarks=_remarks(subject, split, identified, bool(_attributes(table)), valid is not None),
    )


def _decided(table: pd.DataFrame, temperature: float) -> _Decided:
    logits = table["logit"].to_numpy(np.float64)
    assert len(table) and np.isfinite(logits).all()
    clusters = clusters_of(table["identity"].array, len(table))
    return _Decided(table["label"].to_numpy(np.int64), logits, probabilities(logits, temperature), clusters)


def _measures(tally: Tally, resampling: Resampling) -> dict[str, Measure]:
    boot = resampling.bootstrap(tally.columns, tally.metric)
    found = zip(tally.names, boot.estimate.tolist(), boot.intervals(), strict=True)
    return {name: Measure(value, *interval) for name, value, interval in found}


def _decision_measures(split: _Decided, threshold: float) -> dict[str, Measure]:
    """Metrics of a threshold, with Wilson's interval beside where they are proportions."""
    decided = split.probability >= threshold
    cells = confusion_columns(split.labels, decided).sum(axis=0)
    proportions = {metric.name: metric.proportion for metric in metrics_of("decision")}
    measures = {}
    for name, (value, interval) in decision_intervals(split.labels, decided, split.clusters).items():
        hits, whole = proportions[name] or ((), ())
        beside = wilson(cells[list(hits)].sum(), cells[list(whole)].sum())  # nowhere for what is no proportion
        measures[name] = Measure(value, *interval, *beside)
    return measures


def _metrics(split: _Decided, subject: Subject, resampling: Resampling) -> dict[str, Measure]:
    """All metrics at 0.5 but those losses that have a place of their own in `Calibration`."""
    losses = _measures(loss_tally(split.labels, split.logits, subject.temperature), resampling)
    own = {name: measure for name, measure in losses.items() if name not in ("loss", "brier")}
    ranking = _measures(ranking_tally(split.labels, split.logits), resampling)
    exact = {
        metric.name: Measure(float(metric.formula(split.labels.astype(np.bool_), split.logits)), *NOWHERE)
        for metric in metrics_of("ranking")
        if metric.name not in ranking
    }
    return _decision_measures(split, 0.5) | ranking | exact | own


def _calibration(split: _Decided, subject: Subject, resampling: Resampling, seed: int) -> Calibration:
    labels, before = split.labels, probabilities(split.logits)
    after = _measures(loss_tally(labels, split.logits, subject.temperature), resampling)
    raw = _measures(loss_tally(labels, split.logits), resampling)  # without the temperature
    chance = calibration.ece_by_chance(labels, split.probability, resampling.groups, seed=seed)
    return Calibration(
        temperature=subject.temperature,
        threshold=subject.threshold,
        ece=_measures(calibration.ece_tally(labels, split.probability), resampling)["ece"],
        ece_uncalibrated=_measures(calibration.ece_tally(labels, before), resampling)["ece"],
        ece_by_chance=float(chance.mean()),
        ece_by_chance_high=float(np.quantile(chance, 0.95)),
        brier=after["brier"],
        brier_uncalibrated=raw["brier"],
        loss=after["loss"],
        loss_uncalibrated=raw["loss"],
        bins=calibration.reliability_bins(labels, split.probability),
        bins_uncalibrated=calibration.reliability_bins(labels, before),
    )


def _selective(split: _Decided, subject: Subject, valid: pd.DataFrame | None) -> Selective:
    curve = selective.risk_coverage(split.labels, split.probability)
    points = np.unique(np.linspace(0, len(curve.risk) - 1, _CURVE_POINTS).round().astype(int))
    guaranteed = []
    if valid is not None and np.isfinite(valid["logit"]).all():
        clusters = clusters_of(valid["identity"].array, len(valid))
        for target in GUARANTEED:
            chosen = selective.choose_abstention(
                valid["label"], valid["logit"], subject.temperature, target, clusters=clusters
            )
            guaranteed.append(_guaranteed(split, chosen, subject.own_data and subject.split == "test"))
    return Selective(
        aurc=curve.aurc,
        aurc_of_oracle=curve.aurc_of_oracle,
        coverage=curve.coverage[points].tolist(),
        risk=curve.risk[points].tolist(),
        min_confidence=curve.min_confidence[points].tolist(),
        reached=[_reached(split, accuracy, curve.confidence_at(accuracy)) for accuracy in REACHED],
        guaranteed=guaranteed,
    )


def _reached(split: _Decided, accuracy: float, min_confidence: float | None) -> Reached:
    if min_confidence is None:
        return Reached(accuracy, math.nan, 0.0, 0.0, 0.0)
    found = selective.select(split.labels, split.probability, min_confidence)
    return Reached(accuracy, min_confidence, found.coverage, found.coverage_male, found.coverage_female)


def _guaranteed(split: _Decided, chosen: selective.Abstention, holds: bool) -> Guaranteed:
    least, nowhere = chosen.min_confidence, Measure(math.nan, *NOWHERE)
    coverage = (math.nan, math.nan, math.nan)
    accuracy = nowhere
    if least is not None:
        found = selective.select(split.labels, split.probability, least)
        coverage = (found.coverage, found.coverage_male, found.coverage_female)
        kept = selective.confidence(split.probability) >= least
        if kept.any():
            part = _Decided(split.labels[kept], split.logits[kept], split.probability[kept], split.clusters[kept])
            accuracy = _decision_measures(part, 0.5)["accuracy"]
    return Guaranteed(
        chosen.target_accuracy,
        chosen.error_rate,
        math.nan if least is None else least,
        chosen.images,
        math.nan if least is None else chosen.coverage,
        *coverage,
        accuracy,
        holds,
    )


def _trained_on(subject: Subject) -> bool:
    return subject.own_data and subject.split == "train"


def _attributes(table: pd.DataFrame) -> dict[str, NDArray[np.bool_]]:
    return {str(name): table[name].to_numpy() for name in table.columns if table[name].dtype == np.bool_}


def _slices(split: _Decided, table: pd.DataFrame, resampling: Resampling) -> list[Slice]:
    names = [name for name in (*FROM_PIXELS, *FROM_LANDMARKS) if name in table.columns]
    rules = slice_rules(split.labels, _attributes(table), {name: table[name].to_numpy(np.float64) for name in names})
    return measure_slices(split.labels, split.probability >= 0.5, split.clusters, rules, resampling)


def _remarks(subject: Subject, split: _Decided, identified: bool, attributes: bool, valid: bool) -> list[str]:
    male = split.labels == 1
    fewest = min(persons_in(split.clusters[rows]) for rows in (male, ~male))
    who = "persons" if identified else "images"
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
            f"There are only {fewest} {who} of one class: an interval needs at least {FEWEST_PERSONS}, and where one "
            "is missing the number stands for these images alone.",
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
