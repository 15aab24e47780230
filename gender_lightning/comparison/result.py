"""Everything that a comparison has found, as one value that JSON, Markdown and the page are written from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gender_lightning.benchmarks.timing import Rate
from gender_lightning.comparison.costs import Cost
from gender_lightning.comparison.fairness import RowFairness
from gender_lightning.comparison.pairs import Pair
from gender_lightning.comparison.runs.rows import Row
from gender_lightning.comparison.scores import Score
from gender_lightning.comparison.verdict import Verdict, sentence

if TYPE_CHECKING:
    import pandas as pd


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
        scores: The scores of each metric, see `scores.scores_of`.
        corruption_error: Mean over corruptions, for the runs that `evaluate` has measured; None where it has not.
        slices: The slices, in an order that is the same for every row.
        worst: The least accurate slice of those that are worse than their rest beyond chance; where there is none, of
            those that are not small.
        cost: None where a run has no best.ckpt.
        training_seconds: Seconds of each run, as run.json says.
        training_rates: Images/s of those runs whose run.json says it.
        inference: Images/s measured on this machine; None where it was not.
        fairness: Gaps and the worst group; None in a comparison that was made by hand.
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
    fairness: RowFairness | None = None


@dataclass(frozen=True)
class Comparison:
    """Everything that a comparison found.

    Attributes:
        data: Name of the data set.
        split: Part of the data.
        images: Number of images.
        people: Number of people on them; None where they are not known.
        males: Number of images of males.
        summaries: One per row.
        pairs: All pairs of rows, by place.
        verdict: The comparison in words.
        notes: What a reader must know: what was left out, what the figures do not say.
        slice_sizes: Images in each slice by an attribute, those of none too, which `summaries` leave out.
        machine: Hardware that inference was measured on (`provenance.hardware`), with precision and batch size.
        provenance: Versions, command and source of the comparison itself.
        path: The folder with the page, the JSON file and the figures; None before they are written.
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
    slice_sizes: tuple[int, ...] = ()
    machine: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    path: Path | None = None

    @property
    def rows(self) -> list[Row]:
        """Rows of the summaries."""
        return [summary.row for summary in self.summaries]

    def by_accuracy(self) -> list[Summary]:
        """The most accurate first."""
        return sorted(self.summaries, key=lambda summary: -summary.scores["accuracy"].mean)

    def table(self) -> pd.DataFrame:
        """One row per model, the most accurate first: `runs`, and for each metric mean, `_sd`, `_low` and `_high`."""
        import pandas as pd

        rows = {}
        for summary in self.by_accuracy():
            row: dict[str, float | None] = {"runs": summary.row.n}
            for name, score in summary.scores.items():
                low, high = score.interval
                row |= {name: score.mean, f"{name}_sd": score.sd, f"{name}_low": low, f"{name}_high": high}
            rows[summary.row.label] = row
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")

    def pairs_table(self) -> pd.DataFrame:
        """One row per pair of models: `difference` with `low` and `high`, `p`, `p_holm`, and the verdict as `said`."""
        import pandas as pd

        pairs = []
        for pair in (_pair(self, one) for one in self.pairs):
            low, high = pair["interval"]
            pairs.append({name: pair[name] for name in ("first", "second", "difference")} | {"low": low, "high": high})
            pairs[-1] |= {name: pair[name] for name in ("p", "p_holm", "differs", "said")}
        return pd.DataFrame(pairs)

    def __repr__(self) -> str:
        models = [row.label for row in self.rows]
        return f"Comparison(split={self.split!r}, images={self.images}, people={self.people}, models={models})"

    def _repr_markdown_(self) -> str:
        """What a notebook shows: `comparison.md`, with headings that leave the notebook's own above them."""
        from gender_lightning.comparison.markdown import markdown

        return "\n".join(f"##{line}" if line.startswith("#") else line for line in markdown(self).splitlines())


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
        "rows": [_row(summary) for summary in comparison.summaries],
        "pairs": [_pair(comparison, pair) for pair in comparison.pairs],
        "inference_machine": comparison.machine,
        **comparison.provenance,
    }
    cleaned: dict[str, Any] = _without_nan(plain)
    return cleaned


def _row(summary: Summary) -> dict[str, Any]:
    return {
        "label": summary.row.label,
        "backbone": summary.row.runs[0].backbone,
        "n": summary.row.n,
        "runs": [{"path": str(run.run.path), "seed": run.seed} for run in summary.row.runs],
        **{name: _score(score) for name, score in summary.scores.items()},
        "mean_corruption_error": None if summary.corruption_error is None else _score(summary.corruption_error),
        "worst_slice": None if summary.worst is None else vars(summary.worst),
        "slices": [vars(slice_) for slice_ in summary.slices],
        "fairness": None if summary.fairness is None else summary.fairness.to_json(),
        "cost": None if summary.cost is None else vars(summary.cost),
        "training_minutes": [seconds / 60 for seconds in summary.training_seconds],
        "training_images_per_second": list(summary.training_rates),
        "training_hardware": summary.row.runs[0].info.get("hardware"),
        "inference_images_per_second": None if summary.inference is None else summary.inference.median,
        "inference_samples": [] if summary.inference is None else list(summary.inference.samples),
    }


def _score(score: Score) -> dict[str, Any]:
    return {"mean": score.mean, "sd": score.sd, "interval": list(score.interval), "values": list(score.values)}


def _pair(comparison: Comparison, pair: Pair) -> dict[str, Any]:
    rows = comparison.rows
    return {
        "first": rows[pair.first].label,
        "second": rows[pair.second].label,
        "said": sentence(rows, pair, len(comparison.pairs), comparison.images),
        "difference": pair.difference,
        "interval": list(pair.interval),
        "differs": pair.differs,
        "p_holm": pair.p_holm,
        "p": pair.p,
        "p_people": pair.p_people,
        "p_mcnemar": pair.p_mcnemar,
        "seeds_are_in_p": pair.over_seeds,
        "decided_by": pair.decided_by,
        "mcnemar": [{"first": one.first, "second": one.second, **vars(one.test)} for one in pair.mcnemar],
    }


def _without_nan(value: Any) -> Any:
    """JSON has no nan."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
