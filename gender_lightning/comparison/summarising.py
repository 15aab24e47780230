"""Rows become lines of the table: scored, sliced, and what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gender_lightning.benchmarks.timing import Rate
from gender_lightning.comparison.costs import Cost, cost_of, inference_rates, total
from gender_lightning.comparison.fairness import fairness_of
from gender_lightning.comparison.result import Summary
from gender_lightning.comparison.runs.reading import RunResult
from gender_lightning.comparison.runs.rows import Row
from gender_lightning.comparison.scores import Score, scores_of
from gender_lightning.comparison.slices import slices_of, worst_of
from gender_lightning.evaluation.statistics.intervals import Resampling
from gender_lightning.evaluation.subgroups.rules import SliceRule
from gender_lightning.machine.hardware import Hardware
from gender_lightning.models.checkpoints.checkpoint import load_network
from gender_lightning.progress import progress_bar


@dataclass(frozen=True)
class Timing:
    """How inference is timed: hardware, images at a time, and how long and often each network is measured."""

    hardware: Hardware
    batch_size: int
    seconds: float
    repeats: int


def summarise(
    rows: Sequence[Row],
    corrupted: Sequence[Score | None],
    rules: Sequence[SliceRule],
    resampling: Resampling,
    timing: Timing | None,
) -> list[Summary]:
    """One line per row.

    Args:
        rows: On the same images.
        corrupted: Mean corruption error of each row.
        rules: The slices, none of them empty.
        resampling: Draws of the people on these images.
        timing: None leaves inference out.
    """
    costs = [_cost(row) for row in rows]
    rates = _rates(rows, costs, timing) if timing else [None] * len(rows)
    found = []
    with progress_bar("models") as report:
        for row, error, cost, rate in zip(rows, corrupted, costs, rates, strict=True):
            slices = slices_of(row, rules, resampling)
            found.append(
                Summary(
                    row=row,
                    scores=scores_of(row, resampling),
                    corruption_error=error,
                    slices=slices,
                    worst=worst_of(row, rules, slices, resampling),
                    cost=cost,
                    training_seconds=_recorded(row.runs, "seconds"),
                    training_rates=_recorded(row.runs, "images_per_second"),
                    inference=rate,
                    fairness=fairness_of(row),
                )
            )
            report(len(found), len(rows))
    return found


def _cost(row: Row) -> Cost | None:
    bests = _bests(row)
    return total([cost_of(load_network(best)) for best in bests]) if all(best.is_file() for best in bests) else None


def _bests(row: Row) -> tuple[Path, ...]:
    """The checkpoints whose networks decide."""
    return tuple(member.run.best for member in row.runs[0].members)


def _rates(rows: Sequence[Row], costs: Sequence[Cost | None], timing: Timing) -> list[Rate | None]:
    """Each different network is measured once, however many rows share it."""
    keys = [
        f"{[member.backbone for member in row.runs[0].members]} {cost}" if cost else None
        for row, cost in zip(rows, costs, strict=True)
    ]
    networks = {key: _bests(row) for key, row in zip(keys, rows, strict=True) if key is not None}
    with progress_bar("inference speed") as report:
        rates = inference_rates(
            networks,
            timing.hardware,
            batch_size=timing.batch_size,
            seconds=timing.seconds,
            repeats=timing.repeats,
            report=report,
        )
    return [None if key is None else rates[key] for key in keys]


def _recorded(runs: Sequence[RunResult], name: str) -> tuple[float, ...]:
    return tuple(float(run.info[name]) for run in runs if run.info.get(name) is not None)
