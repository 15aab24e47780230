"""How good each row is: the mean over its seeds, their spread, and an interval over people."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gender_lightning.comparison.runs.reading import RunResult
from gender_lightning.comparison.runs.rows import Row
from gender_lightning.evaluation.calibration import expected_calibration_error
from gender_lightning.evaluation.decisions import decision_intervals
from gender_lightning.evaluation.metric_list import metrics_of
from gender_lightning.evaluation.metrics import confusion_columns
from gender_lightning.evaluation.statistics.intervals import Resampling, clusters_of
from gender_lightning.evaluation.statistics.proportions import NOWHERE, Floats, Interval
from gender_lightning.evaluation.statistics.totals import MetricColumns, decision_metrics, loss_columns, ranking_columns


@dataclass(frozen=True)
class Score:
    """One metric of a row.

    Attributes:
        values: Value of each run, in the order of the row.
        interval: 95 % interval of their mean over people, of these very networks; nan where there is none.
    """

    values: tuple[float, ...]
    interval: Interval = NOWHERE

    @property
    def mean(self) -> float:
        """Over the runs."""
        return statistics.fmean(self.values)

    @property
    def sd(self) -> float | None:
        """Sample standard deviation over the seeds; None for a single run."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None


_WITHOUT_CLAIMS = ("accuracy", "balanced_accuracy", "recall_male", "recall_female")


def resampling_of(run: RunResult) -> Resampling:
    """Draws of people (of images, where people are not known) on which every row is measured."""
    return Resampling(clusters_of(run.table["identity"], len(run.table)))


def scores_of(row: Row, resampling: Resampling) -> dict[str, Score]:
    """Each metric that is compared, and `ece`; decisions at the threshold 0.5.

    The interval is that of the mean of the runs' metrics over people. It does not tell what other seeds would give;
    that is the standard deviation's part.
    """
    first = row.runs[0]
    decided = np.stack([run.probability >= 0.5 for run in row.runs])
    each = decision_metrics(np.stack([confusion_columns(first.labels, one).sum(axis=0) for one in decided]))
    clusters = clusters_of(first.table["identity"], len(first.table))
    intervals = decision_intervals(first.labels, decided, clusters)
    found = {
        metric.name: Score(tuple(each[:, place].tolist()), intervals[metric.name][1])
        for place, metric in enumerate(metrics_of("decision"))
    }
    if not all(run.complete for run in row.runs):  # a missing answer is no claim about the other class
        found = {name: score for name, score in found.items() if name in _WITHOUT_CLAIMS}
    if not all(run.scored for run in row.runs):
        return {name: found[name] for name in (m.name for m in metrics_of(place="comparison")) if name in found}
    found |= _means([ranking_columns(run.labels, run.logits) for run in row.runs], resampling)
    compared = [metric.name for metric in metrics_of(place="comparison")]
    if any(metric.name in compared for metric in metrics_of("loss")):
        found |= _means([loss_columns(run.labels, run.calibrated_logits) for run in row.runs], resampling)
    # no interval of its own: resampled, a calibration error that is never negative only grows
    found["ece"] = Score(tuple(expected_calibration_error(run.labels, run.probability) for run in row.runs))
    return {name: found[name] for name in (*compared, "ece") if name in found}


def _means(parts: Sequence[MetricColumns], resampling: Resampling) -> dict[str, Score]:
    """Each metric of the runs' columns, one part per run, with the interval of its mean."""
    edges = np.cumsum([0, *(part.columns.shape[1] for part in parts)])

    def mean_metrics(totals: Floats) -> Floats:
        each = [part.metric(totals[..., edges[i] : edges[i + 1]]) for i, part in enumerate(parts)]
        mean: Floats = np.mean(each, axis=0)
        return mean

    columns = np.concatenate([part.columns for part in parts], axis=1)
    intervals = resampling.bootstrap(columns, mean_metrics).intervals()
    each = np.array([part.metric(part.columns.sum(axis=0)[None])[0] for part in parts])
    return {name: Score(tuple(each[:, m].tolist()), intervals[m]) for m, name in enumerate(parts[0].names)}
