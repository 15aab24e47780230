"""Everything that a comparison has found, as one value that JSON, Markdown and the page are written from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gender_lightning.benchmarks.timing import Rate
from gender_lightning.comparison.costs import Cost
from gender_lightning.comparison.pairs import Pair
from gender_lightning.comparison.rows import Row
from gender_lightning.comparison.scores import Score
from gender_lightning.comparison.verdict import Verdict, sentence


@dataclass(frozen=True)
class SliceScore:
    """Accuracy of a row on a slice, the mean of its runs."""

    name: str
    heading: str
    n: int
    accuracy: float
    small: bool


@dataclass(frozen=True)
class Summary:
    """One row of the table.

    Attributes:
        row: Recipe and runs.
        scores: Of `scores.SCORES`.
        corruption_error: Mean over corruptions, of the runs that `evaluate` has measured; None where it has not.
        slices: In a fixed order, the same for every row.
        worst: The slice with the lowest accuracy among those that are not small.
        cost: None where a run has no best.ckpt.
        training_seconds: Of each run, as run.json says.
        training_rates: Images/s of each run, as run.json says; those that were recorded.
        inference: Images/s measured on this machine; None where it was not.
    """

    row: Row
    scores: dict[str, Score]
    corruption_error: Score | None = None
    slices: tuple[SliceScore, ...] = ()
    worst: SliceScore | None = None
    cost: Cost | None = None
    training_seconds: tuple[float, ...] = ()
    training_rates: tuple[float, ...] = ()
    inference: Rate | None = None


@dataclass(frozen=True)
class Comparison:
    """The whole of it.

    Attributes:
        data: Name of the data set.
        split: That was compared on.
        images: Compared on.
        people: Among them; None where they are not known.
        males: Images of them.
        summaries: One per row.
        pairs: All pairs of rows, by place.
        verdict: In words.
        notes: What a reader must know: what was left out, what the figures do not say.
        machine: That inference was measured on (`provenance.hardware`), with precision and batch size.
        provenance: Versions, command, source of the comparison itself.
    """

    data: str
    split: str
    images: int
    people: int | None
    males: int
    summaries: tuple[Summary, ...]
    pairs: tuple[Pair, ...]
    verdict: Verdict
    notes: tuple[str, ...]
    machine: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def rows(self) -> list[Row]:
        """Of the summaries."""
        return [it.row for it in self.summaries]

    def by_accuracy(self) -> list[Summary]:
        """The most accurate first."""
        return sorted(self.summaries, key=lambda it: -it.scores["accuracy"].mean)


def to_json(comparison: Comparison) -> dict[str, Any]:
    """Plain dicts, lists and numbers; what is unknown is null."""
    plain = {
        "verdict": comparison.verdict.headline,
        "sentences": list(comparison.verdict.sentences),
        "notes": list(comparison.notes),
        "data": comparison.data,
        "split": comparison.split,
        "images": comparison.images,
        "people": comparison.people,
        "males": comparison.males,
        "rows": [_row(it) for it in comparison.summaries],
        "pairs": [_pair(comparison, it) for it in comparison.pairs],
        "inference_machine": comparison.machine,
        **comparison.provenance,
    }
    cleaned: dict[str, Any] = _without_nan(plain)
    return cleaned


def _row(it: Summary) -> dict[str, Any]:
    return {
        "label": it.row.label,
        "backbone": it.row.runs[0].backbone,
        "n": it.row.n,
        "runs": [{"path": str(run.run.path), "seed": run.seed} for run in it.row.runs],
        **{name: _score(score) for name, score in it.scores.items()},
        "mean_corruption_error": None if it.corruption_error is None else _score(it.corruption_error),
        "worst_slice": None if it.worst is None else vars(it.worst),
        "slices": [vars(slice_) for slice_ in it.slices],
        "cost": None if it.cost is None else vars(it.cost),
        "training_minutes": [seconds / 60 for seconds in it.training_seconds],
        "training_images_per_second": list(it.training_rates),
        "training_hardware": it.row.runs[0].info.get("hardware"),
        "inference_images_per_second": None if it.inference is None else it.inference.median,
        "inference_samples": [] if it.inference is None else list(it.inference.samples),
    }


def _score(score: Score) -> dict[str, Any]:
    return {"mean": score.mean, "sd": score.sd, "interval": list(score.interval), "values": list(score.values)}


def _pair(comparison: Comparison, it: Pair) -> dict[str, Any]:
    rows = comparison.rows
    return {
        "first": rows[it.first].label,
        "second": rows[it.second].label,
        "said": sentence(rows, it, len(comparison.pairs), comparison.images),
        "difference": it.difference,
        "interval": list(it.interval),
        "differs": it.differs,
        "p_holm": it.p_holm,
        "p": it.p,
        "p_people": it.p_people,
        "p_mcnemar": it.p_mcnemar,
        "seeds_are_in_p": it.over_seeds,
        "decided_by": it.decided_by,
        "mcnemar": [{"first": one.first, "second": one.second, **vars(one.test)} for one in it.mcnemar],
    }


def _without_nan(value: Any) -> Any:
    """JSON has no nan."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
