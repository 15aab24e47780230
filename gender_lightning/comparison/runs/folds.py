"""The folds of a cross-validation as one run: each image is judged by a model that has not seen its person."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from gender_lightning.comparison.runs.reading import RunResult
from gender_lightning.comparison.runs.rows import recipe
from gender_lightning.errors import UserError

_SHOWN = 6


def join_folds(runs: Sequence[RunResult]) -> tuple[list[RunResult], list[str]]:
    """Put together the runs that differ in nothing but the fold that they hold out.

    Args:
        runs: With tables of valid; those without ``data.folds`` stay as they are.

    Returns:
        One run for the folds of each recipe and seed, in the place of the first of them: its table has the images of
        all folds, its seconds are the mean of theirs. And a sentence on the folds, and one on each run that repeats
        another's fold, of which the newer one counts.

    Raises:
        UserError: A fold is missing, or an image is in several.
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
        notes.insert(
            0,
            f"Cross-validation with {which} folds over persons: each image is judged by the model that has not seen "
            "its person. Minutes are those of one model.",
        )
    return joined, notes


def joined_folds(run: RunResult) -> int:
    """Number of folds that `join_folds` put together in this run; 0 for any other run."""
    return 0 if "fold" in run.config.get("data", {}) else _folds(run)


def _folds(run: RunResult) -> int:
    """Number of folds of the cross-validation that a run belongs to; 0 if it belongs to none."""
    return int(run.config.get("data", {}).get("folds") or 0)


def _joined(group: Sequence[RunResult], notes: list[str]) -> RunResult:
    newest: dict[int, RunResult] = {}
    for run in sorted(group, key=lambda run: str(run.info.get("created", ""))):
        fold = int(run.config["data"]["fold"])
        if older := newest.get(fold):
            notes.append(f"{older.name} has the recipe, seed and fold of {run.name}, which is newer: it was left out.")
        newest[fold] = run
    folds = _folds(group[0])
    if missing := sorted(set(range(1, folds + 1)) - set(newest)):
        raise UserError(
            f"{group[0].name}: of its {folds} folds {_listed(missing)} {'is' if len(missing) == 1 else 'are'} missing.",
            f"Train {'it' if len(missing) == 1 else 'them'}: data.fold={','.join(map(str, missing))}; or compare on "
            "test: split=test.",
        )
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
    info = {**first.info, "seconds": float(np.mean(seconds)) if len(seconds) == folds else None}
    return replace(first, config=config, overrides=overrides, info=info, table=table)


def _listed(numbers: Sequence[int]) -> str:
    shown = [str(number) for number in numbers[:_SHOWN]]
    more = len(numbers) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
