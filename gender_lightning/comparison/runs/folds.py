"""The folds of a cross-validation as one run: each image is judged by a model that has not seen its person."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from gender_lightning.comparison.runs.reading import RunResult
from gender_lightning.comparison.runs.rows import recipe
from gender_lightning.errors import UserError

_SHOWN = 6


@dataclass(frozen=True, eq=False)
class Joined(RunResult):
    """The folds of a recipe and seed in the place of a run; its table has the images that they hold out.

    Attributes:
        held_out: Their numbers, rising: all of the cross-validation, or those that were trained.
        every: Number of images of all its folds, those of train and valid; None where the runs do not tell.
    """

    held_out: tuple[int, ...] = ()
    every: int | None = None

    def told(self) -> str:
        """Which of the folds are compared, and how many images they hold out; empty where it is all of them."""
        folds, images = _folds(self), f"{len(self.table):,}"
        if len(self.held_out) == folds:
            return ""
        which, hold = ("fold", "holds") if len(self.held_out) == 1 else ("folds", "hold")
        of = f"{images} images" if self.every is None else f"{images} of the {self.every:,} images of train and valid"
        return (
            f"Compared on {which} {_listed(self.held_out)} of {folds}, which {hold} out {of}; nothing is said of the "
            "images of the other folds."
        )


def join_folds(runs: Sequence[RunResult]) -> tuple[list[RunResult], list[str]]:
    """Put together the runs that differ in nothing but the fold that they hold out.

    Args:
        runs: Runs with tables of valid; those without ``data.folds`` stay as they are.

    Returns:
        One run for the folds of each recipe and seed, in the place of the first of them: its table has the images of
        all of them, its seconds are the mean of theirs. And a sentence on the folds; where some were not trained, one
        on which are compared; and one on each run that repeats another's fold, of which the newer one counts.

    Raises:
        UserError: An image is in several folds.
    """
    groups: dict[str, list[RunResult]] = {}
    for run in runs:
        fields = {key: value for key, value in recipe(run.config).items() if key != "data.fold"}
        alike = json.dumps([fields, run.seed], sort_keys=True, default=str)
        groups.setdefault(alike if _folds(run) else str(run.run.path), []).append(run)
    notes: list[str] = []
    joined = [_joined(group, notes) if _folds(group[0]) else group[0] for group in groups.values()]
    if numbers := sorted({_folds(run) for run in runs} - {0}):
        which = " and ".join(str(number) for number in numbers)
        notes[:0] = [
            f"Cross-validation with {which} folds over persons: each image is judged by the model that has not seen "
            "its person. Minutes are those of one model.",
            *_partial([run for run in joined if isinstance(run, Joined)]),
        ]
    return joined, notes


def joined_folds(run: RunResult) -> str:
    """`5 folds`, or `3 of 5 folds`, of those that `join_folds` put together in this run; empty for any other run."""
    if not isinstance(run, Joined):
        return ""
    folds, held_out = _folds(run), len(run.held_out)
    return f"{folds} folds" if held_out == folds else f"{held_out} of {folds} folds"


def _partial(joined: Sequence[Joined]) -> list[str]:
    """A sentence on what is compared where folds were not trained; by run where that is not the same for all."""
    told = [run.told() for run in joined]
    if len(set(told)) == 1:
        return [text for text in told[:1] if text]
    return [f"{run.name}: {text}" for run, text in zip(joined, told, strict=True) if text]


def _folds(run: RunResult) -> int:
    """Number of folds of the cross-validation that a run belongs to; 0 if it belongs to none."""
    return int(run.config.get("data", {}).get("folds") or 0)


def _joined(group: Sequence[RunResult], notes: list[str]) -> Joined:
    newest: dict[int, RunResult] = {}
    for run in sorted(group, key=lambda run: str(run.info.get("created", ""))):
        fold = int(run.config["data"]["fold"])
        if older := newest.get(fold):
            notes.append(f"{older.name} has the recipe, seed and fold of {run.name}, which is newer: it was left out.")
        newest[fold] = run
    runs = [newest[fold] for fold in sorted(newest)]
    table = pd.concat([run.table for run in runs]).sort_values("image_id", ignore_index=True)
    if table["image_id"].duplicated().any():
        raise UserError(
            f"{group[0].name}: its folds share images, so that the data have changed between them.",
            "Train all folds on the same data.",
        )
    first = group[0]
    config = {**first.config, "data": {key: value for key, value in first.config["data"].items() if key != "fold"}}
    overrides = tuple(text for text in first.overrides if not text.lstrip("+").startswith("data.fold="))
    seconds = [float(run.info["seconds"]) for run in runs if run.info.get("seconds") is not None]
    info = {**first.info, "seconds": float(np.mean(seconds)) if len(seconds) == len(runs) else None}
    return Joined(
        first.run, first.name, config, info, overrides, table, first.predictions, tuple(sorted(newest)), _every(runs)
    )


def _every(runs: Sequence[RunResult]) -> int | None:
    """Images of train and valid, as `run.json` says; None where it does not, or not the same for all folds."""
    sums: set[int | None] = set()
    for run in runs:
        found = run.info.get("data_set")  # of a file that may be anybody's
        sizes: list[Any] = [found.get(split) for split in ("train", "valid")] if isinstance(found, Mapping) else [None]
        sums.add(sum(sizes) if all(type(size) is int for size in sizes) else None)
    every = sums.pop()
    return every if not sums and every is not None and every >= sum(len(run.table) for run in runs) else None


def _listed(numbers: Sequence[int]) -> str:
    """`1, 2 and 3`; of many the first ones and how many more."""
    shown = [str(number) for number in numbers[:_SHOWN]]
    if more := len(numbers) - len(shown):
        shown.append(f"{more} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
